/**
 * An MQTT 3.1.1 load at QoS 1 over plain sockets: closed loop, clients that keep a fixed number of messages unacknowledged; or
 * paced, so many messages a second in all, whatever the server does, their latency counted from the moment they were due.
 *
 * Packets are copies of one with digits put in, so that the load costs less than any server under test. Runs as its own process (on the other
 * core): `node bench/load/mqtt-load.ts PORT CLIENTS IN_FLIGHT SECONDS [MESSAGES_A_SECOND]`, and prints `{"published", "acked", "seconds",
 * "ratePerS", "p50Ms", "p99Ms"}`; the first fifth of the time is warm-up and is not counted.
 */
import { connect, type Socket } from 'node:net'
import { pathToFileURL } from 'node:url'

export interface LoadResult {
  /** Acknowledged from first to last: the least that must be stored. */
  readonly published: number
  readonly acked: number
  readonly seconds: number
  readonly ratePerS: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface Load {
  readonly port: number
  readonly clients: number
  /** Unacknowledged messages each client keeps; without meaning where it is paced. */
  readonly inFlight: number
  readonly seconds: number
  /** Messages a second of all clients together; null for a closed loop. */
  readonly perSecond: number | null
}

/** Sends so many messages that were due at `dueMs`. */
type Send = (count: number, dueMs: number) => void

export async function runLoad({ port, clients, inFlight, seconds, perSecond }: Load): Promise<LoadResult> {
  const latenciesMs: number[] = []
  const startMs = performance.now()
  const warmMs = startMs + seconds * 200
  const endMs = startMs + seconds * 1000
  let published = 0
  let acked = 0
  const onAck = (sentMs: number) => {
    published++
    const now = performance.now()
    if (now < warmMs || now > endMs) return
    acked++
    if (acked % 16 === 0) latenciesMs.push(now - sentMs)
  }
  const senders: Send[] = []
  const closed = perSecond === null ? inFlight : null
  const ended = Promise.all(
    Array.from({ length: clients }, (_, i) => runClient(port, i, closed, endMs, onAck, send => senders.push(send))),
  )
  const pace = perSecond === null ? undefined : setInterval(pacer(senders, perSecond, clients), 1)
  await ended.finally(() => clearInterval(pace))
  latenciesMs.sort((a, b) => a - b)
  const counted = (endMs - warmMs) / 1000
  const quantile = (q: number) => latenciesMs[Math.floor(q * (latenciesMs.length - 1))] ?? Number.NaN
  return { published, acked, seconds: counted, ratePerS: acked / counted, p50Ms: quantile(0.5), p99Ms: quantile(0.99) }
}

/** At every call sends what is due by now, from one client after another, once all are connected. */
function pacer(senders: readonly Send[], perSecond: number, clients: number): () => void {
  const everyMs = 1000 / perSecond
  let dueMs: number | null = null
  let next = 0
  return () => {
    if (senders.length < clients) return
    const now = performance.now()
    dueMs ??= now
    for (; dueMs <= now; dueMs += everyMs) senders[next++ % clients]!(1, dueMs)
  }
}

/** `inFlight` null: it sends when `onConnected`'s receiver says so. */
function runClient(
  port: number,
  index: number,
  inFlight: number | null,
  endMs: number,
  onAck: (sentMs: number) => void,
  onConnected: (send: Send) => void,
): Promise<void> {
  const device = `dev${String(index).padStart(4, '0')}`
  const payload = '{"ts":0000000000000000,"seq":00000000,"value":0000e-2,"unit":"Cel","quality":"good"}'
  const packet = publish(`sensors/${device}/temp`, payload)
  const payloadAt = packet.length - payload.length
  const [tsAt, seqAt, valueAt] = ['"ts":', '"seq":', '"value":'].map(
    key => payloadAt + payload.indexOf(key) + key.length,
  ) as [number, number, number]
  const idAt = payloadAt - 2
  const sentMs = new Float64Array(65536)
  let nextId = 1
  let seq = 0
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true })
    let rest = Buffer.alloc(0)
    const send: Send = (count, dueMs) => {
      const packets = Buffer.allocUnsafe(count * packet.length)
      const nowMs = Date.now()
      for (let i = 0; i < count; i++, seq++) {
        const at = i * packet.length
        packet.copy(packets, at)
        packets.writeUInt16BE(nextId, at + idAt)
        putDigits(packets, at + valueAt, 2000 + (seq % 977), 4)
        putDigits(packets, at + tsAt, nowMs * 1000 + (seq % 1000), 16)
        putDigits(packets, at + seqAt, 10_000_000 + seq, 8)
        sentMs[nextId] = dueMs
        nextId = nextId === 65535 ? 1 : nextId + 1
      }
      socket.write(packets)
    }
    socket.on('error', reject)
    socket.on('close', () => resolve())
    socket.on('connect', () => socket.write(connectPacket(`load-${index}`)))
    let connected = false
    socket.on('data', chunk => {
      let data = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
      let acks = 0
      while (data.length >= 4) {
        if (data[0] === 0x40) {
          onAck(sentMs[data.readUInt16BE(2)]!)
          acks++
        } else if (data[0] === 0x20 && data[3] === 0) {
          connected = true
          onConnected(send)
        } else return void reject(new Error(`unexpected packet ${data.subarray(0, 4).toString('hex')}`))
        data = data.subarray(4)
      }
      rest = data
      const now = performance.now()
      if (now >= endMs) return void socket.destroy()
      if (inFlight !== null && connected) send(acks === 0 ? inFlight : acks, now)
      return undefined
    })
  })
}

function connectPacket(clientId: string): Buffer {
  const id = Buffer.from(clientId)
  const body = Buffer.concat([
    Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 60, id.length >> 8, id.length & 255]),
    id,
  ])
  return Buffer.concat([Buffer.from([0x10, body.length]), body])
}

function publish(topic: string, payload: string): Buffer {
  const length = 2 + topic.length + 2 + payload.length
  const lengthBytes = length < 128 ? [length] : [(length & 127) | 128, length >> 7]
  const id = [0, 0]
  return Buffer.concat([
    Buffer.from([0x32, ...lengthBytes, topic.length >> 8, topic.length & 255]),
    Buffer.from(topic),
    Buffer.from(id),
    Buffer.from(payload),
  ])
}

/** The decimal digits of a whole number, `width` of them. */
function putDigits(bytes: Buffer, at: number, value: number, width: number): void {
  let rest = value
  for (let i = at + width - 1; i >= at; i--) {
    const tenth = Math.floor(rest / 10)
    bytes[i] = 48 + (rest - tenth * 10)
    rest = tenth
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [port, clients, inFlight, seconds, perSecond = null] = process.argv.slice(2).map(Number)
  const load = { port: port!, clients: clients!, inFlight: inFlight!, seconds: seconds!, perSecond }
  console.log(JSON.stringify(await runLoad(load)))
}
