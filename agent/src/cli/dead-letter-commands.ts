/**
 * `deadletter list | show | drop | replay`: payloads that did not decode.
 *
 * The running agent holds the buffer, so it is asked over its health port; when none runs, the buffer is opened here.
 */
import { type Command, type CommandContext, UsageError } from '@tributary/shared/cli'
import { TributaryError } from '@tributary/shared/errors'
import type { StoredDeadLetter } from '../buffer/buffer.ts'
import { openBuffer } from '../buffer/sqlite-buffer.ts'
import type { AgentConfig } from '../config/agent-config.ts'
import { makeDataFolder } from '../config/data-folder.ts'
import { bufferSlice } from '../config/stage-configs.ts'
import { createDecoder } from '../decode/decoder.ts'
import { allLetters, createDeadLetters, type DeadLetters, type ReplayResult } from '../health/dead-letters.ts'
import { configOption, readConfigOption, textValue } from './config-option.ts'
import { findRunningAgent, type RunningAgent } from './running-agent.ts'

const list: Command = {
  name: 'deadletter list',
  summary: 'list payloads that did not decode, oldest first',
  options: { ...configOption, limit: { type: 'string', value: 'N', default: '20', help: 'how many' } },
  examples: ['tributary-agent deadletter list', 'tributary-agent deadletter list --limit 100 --json'],
  run: context =>
    withDeadLetters(context, async letters => {
      const limit = Number(textValue(context.values, 'limit'))
      if (!Number.isSafeInteger(limit) || limit < 1)
        throw new UsageError('unprocessable', '--limit is not a whole number from 1')
      const found = await letters.list(limit)
      context.json(found.map(described))
      if (found.length === 0) context.out('no dead letters')
      for (const letter of found) {
        const { id, source, origin, reason } = letter
        context.out(`${id}  ${arrivalText(letter)}  ${source}  ${printable(origin)}  ${printable(reason)}`)
      }
    }),
}

const show: Command = {
  name: 'deadletter show',
  summary: 'show one dead letter with its payload',
  positionals: '<id>',
  options: configOption,
  examples: ['tributary-agent deadletter show 17'],
  run: context =>
    withDeadLetters(context, async letters => {
      const [id] = idsOf(context)
      const letter = (await letters.list(allLetters)).find(found => found.id === id)
      if (letter === undefined) throw new TributaryError('not-found', `there is no dead letter ${id}`)
      context.json(described(letter))
      context.out(`received  ${arrivalText(letter)} from ${letter.source}, ${printable(letter.origin)}`)
      context.out(`reason    ${printable(letter.reason)}`)
      context.out(`payload   ${printable(Buffer.from(letter.payload).toString('utf8'))}`)
    }),
}

const drop: Command = {
  name: 'deadletter drop',
  summary: 'delete dead letters',
  positionals: '<id…>',
  options: { ...configOption, all: { type: 'boolean', help: 'all of them' } },
  examples: ['tributary-agent deadletter drop 17 18', 'tributary-agent deadletter drop --all'],
  run: context =>
    withDeadLetters(context, async letters => {
      const dropped = await letters.drop(await wanted(context, letters))
      context.json({ dropped })
      context.out(`${dropped} dropped`)
    }),
}

const replay: Command = {
  name: 'deadletter replay',
  summary: 'decode dead letters again, after a route or a format was put right',
  positionals: '<id…>',
  options: { ...configOption, all: { type: 'boolean', help: 'all of them' } },
  examples: ['tributary-agent deadletter replay 17', 'tributary-agent deadletter replay --all'],
  run: context =>
    withDeadLetters(context, async letters => {
      const result = await letters.replay(await wanted(context, letters))
      context.json(result)
      context.out(`${result.replayed} replayed, ${result.readings} readings stored`)
      for (const { id, reason } of result.failed) context.out(`${id} stays: ${printable(reason)}`)
      return result.failed.length === 0 ? 0 : 1
    }),
}

export const deadLetterCommands: readonly Command[] = [list, show, drop, replay]

async function withDeadLetters(
  context: CommandContext,
  use: (letters: DeadLetters) => Promise<number | undefined | undefined>,
): Promise<number> {
  const config = await readConfigOption(context)
  const agent = await findRunningAgent(config)
  if (agent !== null) return (await use(remote(agent))) ?? 0
  await makeDataFolder(config.dataDir)
  const buffer = await openBuffer({ ...bufferSlice(config), agentId: () => null, worker: false, notify: context.note })
  try {
    return (await use(local(buffer, config))) ?? 0
  } finally {
    await buffer.close()
  }
}

function local(buffer: Parameters<typeof createDeadLetters>[0], { decode, mqtt, serial }: AgentConfig): DeadLetters {
  const decoder = createDecoder({ routes: decode.routes, maxPayloadBytes: mqtt.maxPayload })
  return createDeadLetters(
    buffer,
    decoder,
    source => serial.find(({ name }) => `serial:${name}` === source)?.device ?? null,
  )
}

function remote(agent: RunningAgent): DeadLetters {
  return {
    async list(limit) {
      const letters = await agent.get<(Omit<StoredDeadLetter, 'payload'> & { payload: string })[]>(
        `/dead-letters?limit=${limit}`,
      )
      return letters.map(letter => ({ ...letter, payload: Buffer.from(letter.payload, 'base64') }))
    },
    drop: async ids => (await agent.post<{ dropped: number }>('/dead-letters/drop', { ids })).dropped,
    replay: ids => agent.post<ReplayResult>('/dead-letters/replay', { ids }),
  }
}

async function wanted(context: CommandContext, letters: DeadLetters): Promise<number[]> {
  return context.values.all === true ? (await letters.list(allLetters)).map(({ id }) => id) : idsOf(context)
}

function idsOf({ positionals }: CommandContext): number[] {
  const ids = positionals.map(Number)
  if (ids.length === 0 || !ids.every(Number.isSafeInteger)) {
    throw new UsageError('unprocessable', 'name dead letters by their numbers', {
      hint: 'See them with: tributary-agent deadletter list',
    })
  }
  return ids
}

function described(letter: StoredDeadLetter) {
  const payload = Buffer.from(letter.payload)
  return {
    ...letter,
    receivedAt: letter.arrival === 'unplaced' ? null : isoTime(letter.receivedAtUs),
    payload: payload.toString('utf8'),
    payloadBase64: payload.toString('base64'),
  }
}

function arrivalText({ receivedAtUs, arrival }: StoredDeadLetter): string {
  if (arrival === 'unplaced') return 'before the time was known'
  return arrival === 'uncertain' ? `by ${isoTime(receivedAtUs)}` : isoTime(receivedAtUs)
}

function isoTime(us: number): string {
  return new Date(us / 1000).toISOString()
}

/** What a sensor sent must not drive the terminal. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced.
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd')
}
