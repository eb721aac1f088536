import { exactlyOnceSuite } from './exactly-once.suite.ts'
import { PostgresLog } from './postgres-log.ts'

exactlyOnceSuite('postgres', async database => {
  const log = await PostgresLog.open(database, { partitions: 1, pollMs: 20, leaseMs: 1000 })
  return {
    log,
    lose: async () => {
      await database.pool.query('delete from log_record')
      await database.pool.query('update log_head set next_offset = 0')
    },
    truncate: async offset => {
      await database.pool.query('delete from log_record where log_offset < $1', [String(offset)])
    },
    [Symbol.asyncDispose]: () => log.close(),
  }
})
