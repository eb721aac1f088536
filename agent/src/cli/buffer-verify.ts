/** `buffer verify`: is everything in a buffer's folder whole? Exit code 1 when not. Nothing is written into it. */
import { basename } from 'node:path'
import type { Command } from '@tributary/shared/cli'
import { formatBytes } from '@tributary/shared/config-schema'
import { sumOf } from '../buffer/counters.ts'
import { type VerifiedFile, verifyFolder } from '../buffer/verify-folder.ts'
import { bufferFolder, withTemporary } from './buffer-folder.ts'
import { configOption } from './config-option.ts'

export const bufferVerify: Command = {
  name: 'buffer verify',
  summary:
    'check every record of the buffer and its books, also while the agent runs; exit code 1 when something is wrong',
  positionals: '[DIR]',
  options: configOption,
  examples: [
    'tributary-agent buffer verify',
    'tributary-agent buffer verify /mnt/card/var/lib/tributary-agent',
    'tributary-agent buffer verify --json | jq .problems',
  ],
  async run(context) {
    const folder = await bufferFolder(context)
    const note = (path: string) => context.note(`checking ${basename(path)}`)
    const found = await withTemporary(temporary => verifyFolder(folder, temporary, note))
    context.json({ ...found, whole: found.problems.length === 0 })
    for (const file of found.files) context.out(describe(file))
    const { counters } = found
    if (counters !== null)
      context.out(`${counters.accepted} accepted, ${counters.stored} stored, ${counters.evicted} evicted`)
    for (const problem of found.problems) context.out(`PROBLEM  ${problem}`)
    context.out(
      found.problems.length === 0 ? 'whole' : `${found.problems.length} problems; the next start repairs what it can`,
    )
    return found.problems.length === 0 ? 0 : 1
  },
}

function describe({
  name,
  kind,
  bytes,
  rows,
  firstRow,
  lastRow,
  readings,
  batches,
  deadLetters,
  damage,
}: VerifiedFile) {
  const range = firstRow === null ? '' : ` ${firstRow} to ${lastRow}`
  const held = `${rows} rows${range}, ${sumOf(readings)} readings, ${batches} batches, ${deadLetters} dead letters`
  const state = damage === null ? 'whole' : `DAMAGED: ${damage}`
  return `${name}  ${formatBytes(bytes)}, ${held}: ${kind === 'kept' ? state : `in quarantine, ${state}`}`
}
