/** Where in the files of a buffer its readings stand: pages of the table of rows, in the database or in its write-ahead log. */
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'

export interface PlaceOnDisk {
  readonly file: string
  readonly at: number
  readonly length: number
}

const logHeaderBytes = 32
const frameHeaderBytes = 24

/** Where the newest copy of every page of the table `row` stands. */
export function rowPages(path: string): PlaceOnDisk[] {
  const { pages, pageBytes } = pagesOfRows(path)
  const frames = newestFrames(`${path}-wal`, pageBytes)
  return pages.map(no => {
    const frame = frames.get(no)
    return frame === undefined
      ? { file: path, at: (no - 1) * pageBytes, length: pageBytes }
      : { file: `${path}-wal`, at: frame, length: pageBytes }
  })
}

/** Read from a copy: opening a database changes it. */
function pagesOfRows(path: string): { readonly pages: readonly number[]; readonly pageBytes: number } {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-pages-'))
  try {
    const copy = join(folder, 'copy.db')
    copyFileSync(path, copy)
    if (existsSync(`${path}-wal`)) copyFileSync(`${path}-wal`, `${copy}-wal`)
    const database = new Database(copy)
    const pageBytes = database.pragma('page_size', { simple: true }) as number
    const pages = database.prepare(`select pageno from dbstat where name = 'row' order by pageno`).pluck().all()
    database.close()
    return { pages: pages as number[], pageBytes }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Page number → where its last frame of the log's running generation has the page. */
function newestFrames(log: string, pageBytes: number): Map<number, number> {
  const frames = new Map<number, number>()
  if (!existsSync(log)) return frames
  const bytes = readFileSync(log)
  const salts = bytes.subarray(16, 24)
  for (let at = logHeaderBytes; at + frameHeaderBytes + pageBytes <= bytes.length; at += frameHeaderBytes + pageBytes) {
    if (!bytes.subarray(at + 8, at + 16).equals(salts)) continue
    frames.set(bytes.readUInt32BE(at), at + frameHeaderBytes)
  }
  return frames
}
