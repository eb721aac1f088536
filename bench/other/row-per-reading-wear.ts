/**
 * The other side of the bench `wear`: a SQLite row a reading with SQLite's defaults (pages of 4096 bytes, a checkpoint every 1000
 * pages) in WAL mode and synchronous=FULL, one prepared statement, one transaction a group. With `receipts` each row also holds what
 * tells a redelivery, packet id and digest: the cheapest place for it, since a table by client and packet id would touch many pages.
 * `node bench/other/row-per-reading-wear.ts FOLDER COMMITS READINGS receipts|none` prints the bytes.
 */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { type FleetMessage, fleetMessages } from '../load/fleet-messages.ts'
import { writtenBytes } from '../load/written-bytes.ts'

const [folder, commits, perCommit, receipts] = process.argv.slice(2)
const db = new Database(join(folder!, 'readings.db'))
db.pragma('journal_mode = WAL')
db.pragma('synchronous = FULL')
db.exec(`create table reading (id integer primary key, topic text not null, ts integer not null, value real not null,
  packet_id integer, digest blob)`)
const insert = db.prepare('insert into reading (topic, ts, value, packet_id, digest) values (?, ?, ?, ?, ?)')

const commit = db.transaction((group: readonly FleetMessage[]) => {
  for (const { device, metric, tsUs, value, packetId, digest } of group) {
    const receipt = receipts === 'receipts' ? [packetId, Buffer.from(digest, 'hex')] : [null, null]
    insert.run(`sensors/${device}/${metric}`, tsUs, Number(value), ...receipt)
  }
})
const before = writtenBytes()
for (const group of fleetMessages(Number(commits), Number(perCommit))) commit(group)
db.close()
console.log(JSON.stringify({ writtenBytes: writtenBytes() - before }))
