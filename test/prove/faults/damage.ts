/**
 * What can happen to the files of a buffer while no agent runs. Each kind takes the folder and says what it did; `inReadings` tells
 * that it hits pages, or whole files, that hold unsent readings.
 */
import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import type { Random } from '../../../firmware-sim/src/signals/random.ts'
import { type PlaceOnDisk, rowPages } from './row-pages.ts'

export interface Damage {
  readonly inReadings: boolean
  apply(folder: string, random: Random): string
}

type Change = (bytes: Buffer, random: Random) => void

const flipBits: Change = (bytes, random) => {
  for (let left = random.integer(1, 8); left > 0; left--) {
    const at = random.integer(0, bytes.length - 1)
    bytes[at] = bytes[at]! ^ (1 << random.integer(0, 7))
  }
}
const zero: Change = bytes => void bytes.fill(0)
const overwrite: Change = (bytes, random) => {
  for (let at = 0; at < bytes.length; at++) bytes[at] = random.integer(0, 255)
}

export const damages = {
  'flip-row-pages': inRows(flipBits),
  'zero-row-pages': inRows(zero),
  'overwrite-row-pages': inRows(overwrite),
  'flip-anywhere': somewhere(flipBits),
  'zero-anywhere': somewhere(zero),
  'cut-newest': onFile(newest, cut),
  'cut-closed': onFile(closed, cut),
  'cut-log': onFile(log, cut),
  'delete-newest': onFile(newest, remove),
  'delete-closed': onFile(closed, remove),
  'delete-log': onFile(log, remove),
  'delete-mark': { ...onFile(mark, remove), inReadings: false },
  'damage-mark': { ...onFile(mark, scribble), inReadings: false },
  'append-garbage': { ...onFile(anyFile, append), inReadings: false },
} as const satisfies Record<string, Damage>

export type DamageName = keyof typeof damages

function inRows(change: Change): Damage {
  return {
    inReadings: true,
    apply(folder, random) {
      const file = pick(random, databases(folder))
      const pages = rowPages(file)
      const places = Array.from({ length: random.integer(1, 3) }, () => pick(random, pages))
      for (const place of places) changeAt(place, change, random)
      return places.map(place => `${basename(place.file)}+${place.at}`).join(', ')
    },
  }
}

function somewhere(change: Change): Damage {
  return {
    inReadings: false,
    apply(folder, random) {
      const file = anyFile(folder, random)
      const length = Math.min(1024, statSync(file).size)
      const at = random.integer(0, statSync(file).size - length)
      changeAt({ file, at, length }, change, random)
      return `${basename(file)}+${at}`
    },
  }
}

function onFile(choose: typeof anyFile, change: (file: string, random: Random) => string): Damage {
  return {
    inReadings: true,
    apply(folder, random) {
      const file = choose(folder, random)
      return `${basename(file)} ${change(file, random)}`
    },
  }
}

function cut(file: string, random: Random): string {
  const { size } = statSync(file)
  const left = random.integer(0, size - 1)
  truncateSync(file, left)
  return `cut from ${size} to ${left} bytes`
}

function remove(file: string): string {
  rmSync(file)
  return 'deleted'
}

function append(file: string, random: Random): string {
  const garbage = Buffer.alloc(random.integer(1, 8192))
  overwrite(garbage, random)
  appendFileSync(file, garbage)
  return `longer by ${garbage.length} bytes`
}

function scribble(file: string, random: Random): string {
  const bytes = readFileSync(file)
  flipBits(bytes, random)
  writeFileSync(file, bytes)
  return 'flipped'
}

function changeAt({ file, at, length }: PlaceOnDisk, change: Change, random: Random): void {
  const bytes = readFileSync(file)
  change(bytes.subarray(at, at + length), random)
  writeFileSync(file, bytes)
}

function databases(folder: string): string[] {
  const names = readdirSync(folder).filter(name => /^\d+\.db$/.test(name))
  return names.sort().map(name => join(folder, name))
}

function newest(folder: string): string {
  return databases(folder).at(-1)!
}

function closed(folder: string, random: Random): string {
  return pick(random, databases(folder).slice(0, -1))
}

/** Only a killed agent leaves one; after a good end the newest file stands for it. */
function log(folder: string): string {
  const path = `${newest(folder)}-wal`
  return existsSync(path) && statSync(path).size > 0 ? path : newest(folder)
}

function mark(folder: string): string {
  return join(folder, 'mark')
}

function anyFile(folder: string, random: Random): string {
  const files = databases(folder).flatMap(path => [path, `${path}-wal`])
  return pick(
    random,
    files.filter(path => existsSync(path) && statSync(path).size > 0),
  )
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.integer(0, from.length - 1)]!
}
