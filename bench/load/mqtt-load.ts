/**
 * A closed-loop MQTT 3.1.1 load: clients that keep a fixed number of QoS 1 messages unacknowledged, over plain sockets.
 *
 * Packets are written by hand so that the load costs less than any server under test. Runs as its own process (on the other
 * core): `node bench/load/mqtt-load.ts PORT CLIENTS IN_FLIGHT SECONDS`, and prints `{"published", "acked", "seconds", "ratePerS", "p50Ms",
 * "p99Ms"}`; the first fifth of the time is warm-up and is not counted.
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

export async function runLoad(port: number, clients: number, inFlight: number, seconds: number): Promise<LoadResult> {
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
  await Promise.all(Array.from({ length: clients }, (_, i) => runClient(port, i, inFlight, endMs, onAck)))
  latenciesMs.sort((a, b) => a - b)
  const counted = (endMs - warmMs) / 1000
  const quantile = (q: number) => latenciesMs[Math.floor(q * (latenciesMs.length - 1))] ?? Number.NaN
  return { published, acked, seconds: counted, ratePerS: acked / counted, p50Ms: quantile(0.5), p99Ms: quantile(0.99) }
}

function runClient(
  port: number,
  index: number,
  inFlight: number,
  endMs: number,
  onAck: (sentMs: number) => void,
): Promise<void> {
  const device = `dev${String(index).padStart(4, '0')}`
  const topic = `sensors/${device}/temp`
  const sentMs = new Float64Array(65536)
  let nextId = 1
  let seq = 0
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true })
    let rest = Buffer.alloc(0)
    const send = (count: number) => {
      const packets: Buffer[] = []
      for (let i = 0; i < count; i++) {
        const value = (20 + (seq % 977) / 100).toFixed(2)
        const payload = `{"value":${value},"ts":${(Date.now() * 1000 + (seq % 1000)).toString()},"seq":${seq++},"unit":"Cel","quality":"good"}`
        packets.push(publish(topic, nextId, payload))
        sentMs[nextId] = performance.now()
        nextId = nextId === 65535 ? 1 : nextId + 1
      }
      socket.write(Buffer.concat(packets))
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
        } else if (data[0] === 0x20 && data[3] === 0) connected = true
        else return void reject(new Error(`unexpected packet ${data.subarray(0, 4).toString('hex')}`))
        data = data.subarray(4)
      }
      rest = data
      if (performance.now() >= endMs) return void socket.destroy()
      if (connected && acks === 0) send(inFlight)
      else if (acks > 0) send(acks)
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

function publish(topic: string, id: number, payload: string): Buffer {
  const length = 2 + topic.length + 2 + payload.length
  const lengthBytes = length < 128 ? [length] : [(length & 127) | 128, length >> 7]
  const packet = Buffer.allocUnsafe(1 + lengthBytes.length + length)
  packet[0] = 0x32
  packet.set(lengthBytes, 1)
  let at = packet.writeUInt16BE(topic.length, 1 + lengthBytes.length)
  at += packet.write(topic, at, 'latin1')
  at = packet.writeUInt16BE(id, at)
  packet.write(payload, at, 'latin1')
  return packet
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [port, clients, inFlight, seconds] = process.argv.slice(2).map(Number)
  console.log(JSON.stringify(await runLoad(port!, clients!, inFlight!, seconds!)))
}
