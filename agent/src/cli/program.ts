/** The table of the agent's commands. */
import type { Program } from '@tributary/shared/cli'
import packageJson from '../../package.json' with { type: 'json' }
import { bufferExport } from './buffer-export.ts'
import { bufferStats } from './buffer-stats.ts'
import { bufferVerify } from './buffer-verify.ts'
import { configCheck, configExample } from './config-commands.ts'
import { deadLetterCommands } from './dead-letter-commands.ts'
import { enrollCommand } from './enroll.ts'
import { passwordHash } from './password-hash.ts'
import { createRun } from './run.ts'
import { status } from './status.ts'

export const program: Program = {
  name: 'tributary-agent',
  version: packageJson.version,
  summary: 'reads sensors over MQTT or a serial line, keeps every reading safe, forwards signed batches to a hub',
  commands: [
    enrollCommand,
    createRun(packageJson.version),
    status,
    configCheck,
    configExample,
    ...deadLetterCommands,
    bufferStats,
    bufferVerify,
    bufferExport,
    passwordHash,
  ],
}
