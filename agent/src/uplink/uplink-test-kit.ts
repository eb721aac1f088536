/** For the uplink's tests: a buffer in memory that keeps the contract of buffer.ts, and a hub on a port of its own that misbehaves on demand. */
import { hash, type KeyObject } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { TributaryError } from '@tributary/shared/errors'
import { type BatchConflict, fields, type Lane, parseBatchField, paths, type Recall } from '@tributary/shared/protocol'
import { signResponse, verifyRequest } from '@tributary/shared/signature'
import { generateKeyPair } from '@tributary/shared/signature-keys'
import type { BufferStats, EpochFloor, SealedBatch } from '../buffer/buffer.ts'
import { noCounters } from '../buffer/counters.ts'
import type { Identity } from '../identity/identity.ts'
import type { UplinkOptions } from './uplink.ts'

type UplinkBuffer = UplinkOptions['buffer']

/** Sealed batches, their seqs dense over all epochs; readings are only counted. */
export class MemoryBuffer implements UplinkBuffer {
  epoch = 5
  readonly sealed: SealedBatch[] = []
  readonly acknowledged: number[] = []
  /** Ids in the order of the steps; a recall takes two. */
  readonly recallSteps: number[] = []
  readonly settledCalls: number[] = []
  failure: TributaryError | null = null
  newestUs = Date.now() * 1000
  /** Most pending batches that were handed out at once. */
  largestPage = 0
  /** How often somebody looked what there is. */
  looks = 0
  looksForCopies = 0
  readonly broughtBack: number[] = []
  earlier: readonly EpochFloor[] = []
  readonly #unsealed: Record<Lane, number> = { live: 0, backlog: 0 }
  #pending = new Set<number>()
  #settled = 0

  arrive(readings: number): void {
    this.#unsealed.live += readings
  }

  async split(): Promise<boolean> {
    this.#check()
    const { live, backlog } = this.#unsealed
    if (live === 0) return false
    Object.assign(this.#unsealed, { live: 0, backlog: backlog + live })
    return true
  }

  async seal(maxReadings: number, lane: Lane): Promise<SealedBatch | null> {
    this.#check()
    const readings = Math.min(maxReadings, this.#unsealed[lane])
    if (readings === 0) return null
    this.#unsealed[lane] -= readings
    const newestUs = lane === 'live' ? this.newestUs : this.newestUs - 3600e6
    return this.#keep(`${lane} batch with ${readings} readings`, readings, newestUs)
  }

  async pending(max: number, after: { readonly seq: number } | null = null): Promise<readonly SealedBatch[]> {
    this.#check()
    const page = this.sealed.filter(({ seq }) => this.#pending.has(seq) && seq > (after?.seq ?? 0)).slice(0, max)
    this.largestPage = Math.max(this.largestPage, page.length)
    return page
  }

  async isPending(_epoch: number, seq: number): Promise<boolean> {
    this.#check()
    return this.#pending.has(seq)
  }

  /** Pushed out, as by the bounds of a buffer. */
  evict(seq: number): void {
    this.#pending.delete(seq)
  }

  async acknowledge(_epoch: number, seq: number): Promise<void> {
    this.#check()
    this.#pending.delete(seq)
    this.acknowledged.push(seq)
  }

  async reseal(epoch: number, seq: number): Promise<SealedBatch | null> {
    this.#check()
    const old = this.sealed.find(batch => batch.seq === seq && this.#pending.delete(seq))
    if (!old) return null
    if (epoch === this.epoch) this.epoch++
    return this.#keep(Buffer.from(old.body).toString(), old.readings, old.newestUs)
  }

  async resealCopy(epoch: number, seq: number, digest: string): Promise<SealedBatch | null> {
    this.#check()
    this.looksForCopies++
    const copy = this.sealed.find(batch => batch.epoch === epoch && batch.seq === seq)
    if (!copy || this.#pending.has(seq) || hash('sha256', copy.body) !== digest) return null
    if (epoch === this.epoch) this.epoch++
    return this.#keep(Buffer.from(copy.body).toString(), copy.readings, copy.newestUs)
  }

  async settle(_epoch: number, settled: number): Promise<number> {
    this.#check()
    this.settledCalls.push(settled)
    const lost =
      settled < this.#settled ? this.sealed.filter(batch => batch.seq >= settled && !this.#pending.has(batch.seq)) : []
    this.#settled = settled
    for (const { seq } of lost) this.#pending.add(seq)
    return lost.length
  }

  async recall(recall: Recall): Promise<boolean> {
    this.#check()
    this.recallSteps.push(recall.id)
    return this.recallSteps.filter(id => id === recall.id).length >= 2
  }

  async bringBack(_epoch: number, fromSeq: number): Promise<number> {
    this.#check()
    this.broughtBack.push(fromSeq)
    const lost = this.sealed.filter(batch => batch.seq >= fromSeq && !this.#pending.has(batch.seq))
    for (const { seq } of lost) this.#pending.add(seq)
    return lost.length
  }

  async earlierFloors(): Promise<readonly EpochFloor[]> {
    return this.earlier
  }

  async stats(): Promise<BufferStats> {
    this.#check()
    this.looks++
    const sealedReadings = this.sealed
      .filter(batch => this.#pending.has(batch.seq))
      .reduce((sum, batch) => sum + batch.readings, 0)
    const { live, backlog } = this.#unsealed
    return {
      files: 1,
      bytes: 0,
      backlogReadings: live + backlog + sealedReadings,
      unsealedLive: live,
      unsealedBacklog: backlog,
      backlogRanges: backlog > 0 ? 1 : 0,
      oldestUs: null,
      unplacedReadings: 0,
      deadLetters: 0,
      sealedPending: this.#pending.size,
      resealedBatches: 0,
      counters: noCounters,
      losses: [],
      windows: { open: 0, closed: 0, closedEarly: 0, sealed: 0, late: 0 },
      writable: true,
    }
  }

  #keep(text: string, readings: number, newestUs: number): SealedBatch {
    const seq = this.sealed.length + 1
    const floor = Math.min(seq, ...this.#pending)
    const body = new TextEncoder().encode(text)
    const batch = { epoch: this.epoch, seq, body, readings, aggregates: 0, newestUs, floor }
    this.sealed.push(batch)
    this.#pending.add(seq)
    return batch
  }

  #check(): void {
    if (this.failure) throw this.failure
  }
}

export interface ReceivedBatch {
  readonly epoch: number
  readonly seq: number
  readonly lane: string
  readonly floor: string
  readonly body: string
}

/** Answers one request; returning without an answer leaves it open. */
export type Behaviour = (
  hub: TestHub,
  batch: ReceivedBatch,
  request: IncomingMessage,
  response: ServerResponse,
  body: Uint8Array,
) => void

const agentKey = generateKeyPair()
const hubKey = generateKeyPair()

/** Verifies every request as a hub does; `behaviours` are used up one a request, then it stores. */
export class TestHub {
  readonly received: ReceivedBatch[] = []
  readonly stored = new Map<number, string>()
  readonly behaviours: Behaviour[] = []
  /** The behaviour when `behaviours` are used up. */
  otherwise: Behaviour = stores
  nowS = () => Date.now() / 1000
  /** Hellos answered so far, and how one is answered. */
  hellos = 0
  hello: (hub: TestHub, request: IncomingMessage, response: ServerResponse) => void = answerHello
  settled = 1
  /** Stored floors of epochs before. */
  readonly earlier = new Map<number, number>()
  /** Epochs asked for, by question. */
  readonly asked: number[][] = []
  credits = 1
  conflicts: readonly BatchConflict[] = []
  connections = 0
  inFlight = 0
  mostInFlight = 0
  readonly #server: Server = createServer((request, response) => void this.#handle(request, response))

  async start(): Promise<void> {
    this.#server.on('connection', () => this.connections++)
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
  }

  async stop(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get identity(): Identity {
    return {
      hub: this.origin,
      agentId: 'ag-test',
      site: 'here',
      name: 'gw',
      privateKey: agentKey.privateKey,
      hubKey: hubKey.publicKey,
    }
  }

  dropConnections(): void {
    this.#server.closeAllConnections()
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight)
    response.on('close', () => this.inFlight--)
    const parts: Uint8Array[] = []
    for await (const part of request) parts.push(part)
    const body = Buffer.concat(parts)
    try {
      const { method = '', url: path = '', headers } = request
      const kind = verifyRequest({ method, path, headers, body, publicKey: agentKey.publicKey, nowS: this.nowS() })
      if (kind === 'nonce' && path === paths.hello) {
        this.hellos++
        return this.hello(this, request, response)
      }
      if (kind === 'nonce') {
        const asked = new URL(path, this.origin).searchParams.get('epochs')?.split(',').map(Number) ?? []
        this.asked.push(asked)
        const settled = asked.map(epoch => ({ epoch, settled: this.earlier.get(epoch) ?? 1 }))
        answer(response, 200, { hubTimeMs: Math.round(this.nowS() * 1000), agentId: 'ag-test', site: 'here', settled })
        return
      }
      const identity = parseBatchField(String(headers[fields.batch]))
      if (kind !== 'batch' || path !== paths.batches || identity === null)
        throw new TributaryError('malformed', 'not a batch')
      const batch = {
        ...identity,
        lane: String(headers[fields.lane]),
        floor: String(headers[fields.floor]),
        body: body.toString(),
      }
      this.received.push(batch)
      const behaviour = this.behaviours.shift() ?? this.otherwise
      behaviour(this, batch, request, response, body)
    } catch (error) {
      const code = error instanceof TributaryError ? error.code : 'internal'
      if (code === 'clock-skew') return answerSigned(this, request, response, hubKey.privateKey)
      answer(response, code === 'unauthenticated' ? 401 : 500, { code, detail: String(error) })
    }
  }
}

export function answer(
  response: ServerResponse,
  status: number,
  body: object | string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

/** The signed clock-skew answer, by the hub's key or a forger's. */
export function answerSigned(
  hub: TestHub,
  request: IncomingMessage,
  response: ServerResponse,
  privateKey = generateKeyPair().privateKey,
): void {
  const text = JSON.stringify({ code: 'clock-skew', detail: 'your clock is off', hubTimeMs: hub.nowS() * 1000 })
  const signature = signResponse({
    status: 401,
    body: Buffer.from(text),
    requestHeaders: request.headers,
    privateKey,
    createdS: hub.nowS(),
  })
  answer(response, 401, text, signature)
}

/** What a hub says to a hello; signed by its key, by a forger's, or (null) not at all. */
export function answerHello(
  hub: TestHub,
  request: IncomingMessage,
  response: ServerResponse,
  privateKey: KeyObject | null = hubKey.privateKey,
): void {
  const body = Buffer.from(JSON.stringify({ hubTimeMs: hub.nowS() * 1000, agentId: 'ag-test', site: 'here' }))
  const signed = { status: 200, body, requestHeaders: request.headers, createdS: hub.nowS() }
  answer(response, 200, body.toString(), privateKey === null ? {} : signResponse({ ...signed, privateKey }))
}

export const stores: Behaviour = (hub, batch, _request, response) => {
  hub.stored.set(batch.seq, batch.body)
  while (hub.stored.has(hub.settled)) hub.settled++
  const { settled, credits, conflicts } = hub
  const reached = Math.max(...hub.stored.keys())
  answer(response, 200, { accepted: 1, rejected: [], settled, reached, desiredConfigVersion: 3, credits, conflicts })
}

/** A problem document with this status. */
export function says(status: number, code: string, headers: Record<string, string> = {}): Behaviour {
  return (_hub, _batch, _request, response) => answer(response, status, { code, detail: `it is ${code}` }, headers)
}
