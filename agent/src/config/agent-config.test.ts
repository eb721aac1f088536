import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { bufferConfig } from '../buffer/buffer-config.ts'
import { uplinkConfig } from '../uplink/uplink-config.ts'
import { parseAgentConfig } from './agent-config.ts'
import { exampleFile, exampleText } from './example-file.ts'

describe('the configuration of the agent', () => {
  it('agent.example.yaml is what the schema renders', () => {
    expect(readFileSync(exampleFile, 'utf8')).toBe(exampleText())
  })

  it('the example file is every default', () => {
    expect(parseAgentConfig(exampleText(), 'agent.example.yaml', {})).toEqual(parseAgentConfig('', 'agent.yaml', {}))
  })

  it('the example file stays valid with everything in it switched on', () => {
    const text = exampleText()
      .replace(
        /^( *)# (name|url|ca_file|password_file|window|file_bytes|max_dead_letter_bytes|max_receipts|max_open_windows): /gm,
        '$1$2: ',
      )
      .replaceAll(': []\n', ':\n')
      .replace(/^( *)# ( {2}- | {4}(?!#))/gm, '$1$2')
    const config = parseAgentConfig(text, 'agent.yaml', {})
    expect(config.serial).toHaveLength(1)
    expect(config.mqtt.users).toHaveLength(1)
    expect(config.brokers[0]?.topics).toEqual(['sensors/#'])
    expect(config.decode.routes).toHaveLength(1)
    expect(config.hub.caFile).not.toBeNull()
  })

  it('its defaults are those of the stages', () => {
    const { buffer, hub } = parseAgentConfig('', 'agent.yaml', {})
    expect(bufferConfig({ folder: 'x' })).toMatchObject({
      storage: buffer.storage,
      maxGroupReadings: buffer.maxGroupReadings,
      maxBytes: buffer.maxBytes,
      maxAgeMs: buffer.maxAge,
      minFreeBytes: buffer.minFree,
      copyMaxAgeMs: buffer.copyMaxAge,
      copyShare: buffer.copyShare,
      maxHeldBytes: buffer.maxHeld,
      failAfterMs: buffer.failAfter,
      maxDeadLetters: buffer.maxDeadLetters,
      ballastBytes: buffer.ballast,
    })
    expect(uplinkConfig()).toMatchObject({
      hub: hub.url,
      insecure: hub.insecure,
      caFile: hub.caFile,
      maxReadings: hub.maxReadings,
      lingerMs: hub.linger,
      maxInFlight: hub.maxInFlight,
      inOrderBelowMs: hub.inOrderBelow,
      connectTimeoutMs: hub.connectTimeout,
      answerTimeoutMs: hub.answerTimeout,
    })
    expect(uplinkConfig().backoff.capMs).toBe(hub.maxBackoff)
  })

  it('a typo is refused at its place, with the name that was meant', () => {
    expect(() => parseAgentConfig('mqtt:\n  allow_subscibe: true\n', 'agent.yaml', {})).toThrow(
      'unknown key `mqtt.allow_subscibe` at agent.yaml:2:3; did you mean `allow_subscribe`?',
    )
  })

  it('two ports of one name or path are refused', () => {
    const text = 'serial:\n  - {name: a, path: /dev/a}\n  - {name: a, path: /dev/b}\n  - {name: c, path: /dev/a}\n'
    expect(() => parseAgentConfig(text, 'agent.yaml', {})).toThrow(/serial\[1\].*name[\s\S]*serial\[2\].*path/)
  })
})
