/**
 * Promise 1, seen from the kernel: between the read of PUBLISH n and the write of its acknowledgement, the agent writes to a WAL
 * and completes an fdatasync of it.
 *
 * The agent runs under strace. Lock-step clients (one message in flight each, every payload with a marker of its own, half of the
 * clients QoS 1 and half QoS 2) make the pairing exact: the PUBACK or PUBREC that follows a marker on the same socket is the
 * marker's. An acknowledgement counts as good only if a WAL write began after the read had ended, an fdatasync of the same file
 * began after that write had ended, and ended before the acknowledgement began.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startAgent } from '../harness/stack.ts'
import { requirePrograms } from '../system/requirements.ts'
import { type Proof, type ProofContext, type ProofResult, target } from './proof.ts'
import { parseStrace, type SystemCall } from './strace-log.ts'

const clients = 4

export const ackOrder: Proof = {
  name: 'ack-order',
  summary: 'no acknowledgement leaves before the fdatasync of its reading (strace)',
  options: {
    acks: { type: 'string', value: 'N', default: '1200', help: 'acknowledgements to check, over four clients' },
  },
  quick: [],
  sabotages: ['ack-before-commit', 'fsync-off'],
  run,
}

async function run({ values, sabotage, progress }: ProofContext): Promise<ProofResult> {
  requirePrograms('strace')
  const each = Math.ceil(Number(values.acks) / clients)
  const folder = mkdtempSync(join(tmpdir(), 'tributary-ack-order-'))
  const trace = join(folder, 'strace.log')
  const traced = 'read,write,writev,sendto,sendmsg,pwrite64,pwritev,fdatasync,fsync'
  const agent = await startAgent({
    folder,
    wrapper: ['strace', '-f', '-y', '-s', '1024', '-e', `trace=${traced}`, '-e', 'signal=none', '-o', trace],
    ...(sabotage && { env: { TRIBUTARY_SABOTAGE: sabotage } }),
  })
  try {
    progress(`agent under strace; ${clients} clients × ${each} messages in lock-step`)
    await Promise.all(Array.from({ length: clients }, (_, i) => lockStep(agent.mqttPort, i, each, i % 2 === 0 ? 1 : 2)))
  } finally {
    // strace lets no signal through to itself; it ends with the agent.
    process.kill(agent.pid, 'SIGTERM')
    await agent.program.ended()
  }
  const { acks, good, unmatched } = check(parseStrace(readFileSync(trace, 'utf8')))
  rmSync(folder, { recursive: true })
  return {
    ok: good === acks && acks === each * clients && unmatched === 0,
    figures: { acks, good, unmatched, clients },
    targets: [
      target('acknowledgements after fdatasync', (100 * good) / acks, '=', 100, '%'),
      target('acknowledgements checked', acks, '≥', 1000),
    ],
  }
}

function check(calls: readonly SystemCall[]): { acks: number; good: number; unmatched: number } {
  const isWal = ({ target: path }: SystemCall) => path.endsWith('-wal')
  const writes = calls.filter(c => c.name.startsWith('pwrite') && isWal(c))
  const syncs = calls.filter(c => (c.name === 'fdatasync' || c.name === 'fsync') && isWal(c) && c.result === 0)
  const waiting = new Map<string, SystemCall>()
  const figures = { acks: 0, good: 0, unmatched: 0 }
  for (const event of calls) {
    if (event.name === 'read' && event.data.includes('marker')) waiting.set(event.target, event)
    if (!/^(write|writev|sendto|sendmsg)$/.test(event.name) || !(event.data[0] === 0x40 || event.data[0] === 0x50))
      continue
    if (!event.target.startsWith('socket') && !event.target.startsWith('TCP')) continue
    const read = waiting.get(event.target)
    waiting.delete(event.target)
    if (read === undefined) {
      figures.unmatched++
      continue
    }
    figures.acks++
    const synced = writes.some(
      w => w.began > read.ended && syncs.some(s => s.target === w.target && s.began > w.ended && s.ended < event.began),
    )
    if (synced) figures.good++
  }
  return figures
}

/** A client of raw packets with one message in flight: PUBLISH, PUBACK; or PUBLISH, PUBREC, PUBREL, PUBCOMP. */
function lockStep(port: number, index: number, count: number, qos: 1 | 2): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let sent = 0
    const next = () => {
      if (sent === count) return void socket.end(Buffer.from([0xe0, 0]))
      sent++
      const topic = Buffer.from(`sensors/lock${index}/value`)
      const payload = Buffer.from(`{"value":${sent},"seq":${sent},"marker":"m-${index}-${sent}"}`)
      const length = 2 + topic.length + 2 + payload.length
      const head = Buffer.from([0x30 | (qos << 1), length, 0, topic.length])
      return void socket.write(Buffer.concat([head, topic, Buffer.from([sent >> 8, sent & 255]), payload]))
    }
    socket.on('connect', () => {
      const id = Buffer.from(`lock-${index}`)
      socket.write(
        Buffer.concat([
          Buffer.from([0x10, 12 + id.length, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, id.length]),
          id,
        ]),
      )
    })
    socket.on('data', packet => {
      switch (packet[0]) {
        case 0x50:
          return void socket.write(Buffer.from([0x62, 2, packet[2]!, packet[3]!]))
        case 0x20: // CONNACK
        case 0x40: // PUBACK
        case 0x70: // PUBCOMP
          return next()
        default:
          return reject(new Error(`unexpected packet ${packet.toString('hex')}`))
      }
    })
    socket.on('error', reject)
    socket.on('close', () =>
      sent === count ? resolve() : reject(new Error(`connection ${index} closed after ${sent} messages`)),
    )
  })
}
