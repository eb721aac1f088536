/** The slices of the configuration, in the words of the stages that they are for. */
import { join } from 'node:path'
import type { BufferConfig } from '../buffer/buffer-config.ts'
import type { TrustSource } from '../time/agent-clock.ts'
import type { UplinkConfig } from '../uplink/uplink-config.ts'
import type { AgentConfig } from './agent-config.ts'
import { policySlice } from './policy-config.ts'

export function bufferSlice({
  dataDir,
  buffer,
  policies,
}: AgentConfig): Partial<BufferConfig> & { readonly folder: string } {
  return {
    folder: join(dataDir, 'buffer'),
    storage: buffer.storage,
    ...(buffer.window !== null && { windowMs: buffer.window }),
    maxGroupReadings: buffer.maxGroupReadings,
    maxBytes: buffer.maxBytes,
    ...(buffer.fileBytes !== null && { fileBytes: buffer.fileBytes }),
    maxAgeMs: buffer.maxAge,
    thinToMs: buffer.thinTo,
    minFreeBytes: buffer.minFree,
    copyMaxAgeMs: buffer.copyMaxAge,
    copyShare: buffer.copyShare,
    maxHeldBytes: buffer.maxHeld,
    failAfterMs: buffer.failAfter,
    maxDeadLetters: buffer.maxDeadLetters,
    ...(buffer.maxDeadLetterBytes !== null && { maxDeadLetterBytes: buffer.maxDeadLetterBytes }),
    ...(buffer.maxReceipts !== null && { maxReceipts: buffer.maxReceipts }),
    ...(buffer.maxOpenWindows !== null && { maxOpenBytes: buffer.maxOpenWindows }),
    ballastBytes: buffer.ballast,
    policies: policies.map(policySlice),
  }
}

/** Whose time is believed, the best first. */
export function trustOf({ clock }: AgentConfig): readonly TrustSource[] {
  return clock.trust.length > 0 ? clock.trust : ['hub', 'ntp']
}

export function uplinkSlice({ hub }: AgentConfig): Partial<UplinkConfig> {
  return {
    hub: hub.url,
    insecure: hub.insecure,
    caFile: hub.caFile,
    proxy: hub.proxy,
    maxReadings: hub.maxReadings,
    lingerMs: hub.linger,
    maxInFlight: hub.maxInFlight,
    inOrderBelowMs: hub.inOrderBelow,
    maxBytesPerS: hub.maxBandwidth,
    backoff: { baseMs: Math.min(500, hub.maxBackoff), capMs: hub.maxBackoff },
    connectTimeoutMs: hub.connectTimeout,
    answerTimeoutMs: hub.answerTimeout,
  }
}
