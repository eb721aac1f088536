/** The enrolled agent: its id, its key, and the one hub that it believes. */
import type { KeyObject } from 'node:crypto'
import { TributaryError } from '@tributary/shared/errors'
import { publicKeyFromText } from '@tributary/shared/signature-keys'
import { readIdentityFile, type StoredIdentity } from './identity-file.ts'

export interface Identity {
  /** Origin of the hub. */
  readonly hub: string
  readonly agentId: string
  readonly site: string
  /** What people call the gateway. */
  readonly name: string
  readonly privateKey: KeyObject
  /** Signed answers are verified with it, and with no other. */
  readonly hubKey: KeyObject
}

/** Null when the agent has not been enrolled. Throws as `readIdentityFile`. */
export async function loadIdentity(dataDir: string): Promise<Identity | null> {
  const stored = await readIdentityFile(dataDir)
  return stored?.enrolment ? identityOf(stored) : null
}

export function identityOf(stored: StoredIdentity): Identity {
  if (!stored.enrolment) throw new TributaryError('internal', 'identity without an enrolment')
  const { hub, agentId, site, name, hubKey } = stored.enrolment
  return { hub, agentId, site, name, privateKey: stored.key.privateKey, hubKey: publicKeyFromText(hubKey) }
}
