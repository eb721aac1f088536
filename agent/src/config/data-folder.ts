/** The data folder: mode 0700, with the parents that it lacks. */
import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { TributaryError } from '@tributary/shared/errors'

/** Throws `storage` when it cannot be made, or is no folder. */
export async function makeDataFolder(dataDir: string): Promise<void> {
  try {
    await make(resolve(dataDir))
  } catch (cause) {
    throw new TributaryError(
      'storage',
      `the data folder ${dataDir} cannot be made (${(cause as NodeJS.ErrnoException).code})`,
      {
        cause,
        hint: 'Set data_dir (or TRIBUTARY_DATA_DIR) to a folder that this user may write.',
      },
    )
  }
}

/** Not by `recursive: true`, which in Node 24 never returns where a parent exists and answers ENOENT (below /proc). */
async function make(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const parent = dirname(folder)
    if (code === 'EEXIST' && (await isFolder(folder))) return
    if (code !== 'ENOENT' || (await isFolder(parent))) throw error
    await make(parent)
    await mkdir(folder, { mode: 0o700 })
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isDirectory() ?? false
}
