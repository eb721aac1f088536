/**
 * How the API's side reaches the store: through a worker thread, or in process. Calls are answered in the order in which they were
 * made. When the worker dies, every open and later call fails with `storage`.
 */
import { Worker } from 'node:worker_threads'
import { type ErrorCode, messageOf, TributaryError } from '@tributary/shared/errors'
import type { BootTrust } from '../time/agent-clock.ts'
import type { Receipt } from './buffer.ts'
import type { StoreOptions } from './open-store.ts'
import { Store, type StoreRequest, type StoreResult, type StoreResults } from './store.ts'

export interface WriterLink {
  readonly receipts: readonly Receipt[]
  readonly clock: KnownClock
  call<R extends StoreRequest>(request: R, transfer?: readonly ArrayBuffer[]): Promise<StoreResults[R['op']]>
  /** End the thread; after a `close` request. */
  end(): Promise<void>
}

/** What an agent's clock goes on from. */
export interface KnownClock {
  readonly trust: BootTrust | null
  readonly rate: number
}

/** Errors cross the thread as data. */
export interface ErrorData {
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string | undefined
}

export type WriterAnswer =
  | {
      readonly kind: 'opened'
      readonly receipts: readonly Receipt[]
      readonly clock: KnownClock
      readonly notices: readonly string[]
    }
  | { readonly kind: 'failed'; readonly error: ErrorData }
  | {
      readonly kind: 'answer'
      readonly result: StoreResult
      readonly error: ErrorData | null
      readonly notices: readonly string[]
    }

export function errorData(error: unknown): ErrorData {
  if (error instanceof TributaryError) return { code: error.code, message: error.message, hint: error.hint }
  return { code: 'internal', message: messageOf(error), hint: undefined }
}

function revived(data: ErrorData): TributaryError {
  return new TributaryError(data.code, data.message, data.hint === undefined ? {} : { hint: data.hint })
}

type Notify = (notice: string) => void

export function openInProcess(options: StoreOptions, notify: Notify): WriterLink {
  const store = new Store(options)
  for (const notice of store.notices()) notify(notice)
  const run = (request: StoreRequest): StoreResult => {
    try {
      return store.run(request)
    } finally {
      if (request.op !== 'close') setImmediate(() => store.maintain())
      for (const notice of store.notices()) notify(notice)
    }
  }
  return {
    receipts: store.receipts(),
    clock: store.clock(),
    call: async request => run(request) as never,
    end: async () => undefined,
  }
}

interface Waiting {
  readonly resolve: (result: StoreResult) => void
  readonly reject: (error: TributaryError) => void
}

export async function openInWorker(options: StoreOptions, notify: Notify): Promise<WriterLink> {
  const worker = new Worker(new URL('./writer.ts', import.meta.url), { workerData: options, name: 'buffer' })
  const waiting: Waiting[] = []
  let dead: TributaryError | null = null
  const opened = Promise.withResolvers<Pick<WriterLink, 'receipts' | 'clock'>>()
  const ended = Promise.withResolvers<void>()
  const fail = (error: TributaryError) => {
    dead ??= error
    opened.reject(error)
    for (const call of waiting.splice(0)) call.reject(error)
  }
  worker.on('message', (answer: WriterAnswer) => {
    switch (answer.kind) {
      case 'opened':
        for (const notice of answer.notices) notify(notice)
        return opened.resolve(answer)
      case 'failed':
        return fail(revived(answer.error))
      case 'answer': {
        for (const notice of answer.notices) notify(notice)
        const call = waiting.shift()
        return answer.error ? call?.reject(revived(answer.error)) : call?.resolve(answer.result)
      }
      default:
        return answer satisfies never
    }
  })
  worker.on('error', cause =>
    fail(new TributaryError('storage', `the buffer's writer failed: ${messageOf(cause)}`, { cause })),
  )
  worker.on('exit', () => {
    fail(new TributaryError('storage', 'the buffer is closed'))
    ended.resolve()
  })
  const { receipts, clock } = await opened.promise
  return {
    receipts,
    clock,
    call: (request, transfer = []) =>
      new Promise((resolve, reject) => {
        if (dead) return reject(dead)
        waiting.push({ resolve: result => resolve(result as never), reject })
        worker.postMessage(request, transfer)
      }),
    end: () => ended.promise,
  }
}
