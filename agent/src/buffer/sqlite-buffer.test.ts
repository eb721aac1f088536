import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bufferSuite, type SuiteSubject } from './buffer-suite.ts'
import { openBuffer } from './sqlite-buffer.ts'

function subject(worker: boolean): SuiteSubject {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-buffer-'))
  return {
    open: () => openBuffer({ folder, worker, agentId: () => 'ag-aaaaaaaaaaaaaaaaaaaa' }),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

bufferSuite('SQLite buffer, writer in a worker thread', () => subject(true))
bufferSuite('SQLite buffer, writer in process', () => subject(false))
