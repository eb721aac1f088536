/**
 * The other side of the bench `ingest`: what most people would write. aedes in front, JSON.parse, one SQLite row a reading.
 *
 * Given every advantage that the agent has: PUBACK only after the commit, group commit over all clients with the same window,
 * WAL, synchronous=FULL, one prepared statement, one transaction a group. `node bench/other/row-per-reading.ts FOLDER WINDOW_MS`
 * prints its port.
 */
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Aedes } from 'aedes'
import Database from 'better-sqlite3'

interface Held {
  readonly topic: string
  readonly value: number
  readonly ts: number
  readonly done: (error?: Error | null) => void
}

const [folder, windowText] = process.argv.slice(2)
const windowMs = Number(windowText)
const db = new Database(join(folder!, 'readings.db'))
db.pragma('journal_mode = WAL')
db.pragma('synchronous = FULL')
db.exec('create table reading (id integer primary key, topic text not null, ts integer not null, value real not null)')
const insert = db.prepare('insert into reading (topic, ts, value) values (?, ?, ?)')

let held: Held[] = []
let timer: NodeJS.Timeout | null = null
const commit = db.transaction((group: Held[]) => {
  for (const { topic, ts, value } of group) insert.run(topic, ts, value)
})

function flush(): void {
  timer = null
  const group = held
  held = []
  commit(group)
  for (const { done } of group) done(null)
}

const broker = await Aedes.createBroker({
  authorizePublish: (_client, packet, done) => {
    const { value, ts } = JSON.parse(packet.payload.toString()) as { value: number; ts: number }
    held.push({ topic: packet.topic, value, ts, done })
    if (held.length >= 1000) {
      if (timer) clearTimeout(timer)
      flush()
    } else timer ??= setTimeout(flush, windowMs)
  },
})
const server = createServer(broker.handle).listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ port: (server.address() as { port: number }).port }))
})
process.on('SIGTERM', () => process.exit(0))
