import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeDataFolder } from './data-folder.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-folder-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

describe('makeDataFolder', () => {
  it('makes the folder and its parents for this user alone, and is content with one that exists', async () => {
    for (let i = 0; i < 2; i++) await makeDataFolder(join(folder, 'a/b/c'))
    expect((await stat(join(folder, 'a/b/c'))).mode & 0o777).toBe(0o700)
  })

  it('names a folder that cannot be made, with what to do', async () => {
    await writeFile(join(folder, 'file'), '')
    for (const path of [join(folder, 'file'), join(folder, 'file/below'), '/proc/tributary/x']) {
      await expect(makeDataFolder(path)).rejects.toMatchObject({
        code: 'storage',
        message: expect.stringContaining(path),
        hint: expect.stringContaining('data_dir'),
      })
    }
  })
})
