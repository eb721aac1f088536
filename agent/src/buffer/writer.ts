/**
 * The writer thread: one store, requests answered in order. Ends when it has closed the store, or could not open it.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { StoreOptions } from './open-store.ts'
import { Store, type StoreRequest, type StoreResult } from './store.ts'
import { type ErrorData, errorData, type WriterAnswer } from './writer-link.ts'

const port = parentPort
if (!port) throw new Error('writer.ts runs as a worker thread only')

const send = (answer: WriterAnswer) => port.postMessage(answer)

function openStore(): Store | null {
  try {
    return new Store(workerData as StoreOptions)
  } catch (error) {
    send({ kind: 'failed', error: errorData(error) })
    return null
  }
}

function serve(store: Store): void {
  port?.on('message', (request: StoreRequest) => {
    let result: StoreResult
    let error: ErrorData | null = null
    try {
      result = store.run(request)
    } catch (thrown) {
      error = errorData(thrown)
    }
    send({ kind: 'answer', result, error, notices: store.notices() })
    if (request.op === 'close') port?.close()
    else store.maintain()
  })
  send({ kind: 'opened', receipts: store.receipts(), clock: store.clock(), notices: store.notices() })
}

const store = openStore()
if (store) serve(store)
else port.close()
