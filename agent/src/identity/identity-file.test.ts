import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair, privateKeyText, publicKeyText } from '@tributary/shared/signature-keys'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadIdentity } from './identity.ts'
import { identityFileName, readIdentityFile, type StoredIdentity, writeIdentityFile } from './identity-file.ts'

let folder: string
let path: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'identity-'))
  path = join(folder, identityFileName)
})
afterEach(() => rm(folder, { recursive: true }))

const key = generateKeyPair()
const stored: StoredIdentity = {
  key,
  enrolment: {
    hub: 'https://hub',
    agentId: 'ag-1',
    site: 's',
    name: 'n',
    hubKey: publicKeyText(generateKeyPair().publicKey),
  },
  nextKey: generateKeyPair(),
}
const seedOf = (identity: StoredIdentity | null) => identity && privateKeyText(identity.key.privateKey)

test('what is written is read again, and nothing else is left in the folder', async () => {
  await writeIdentityFile(folder, { ...stored, enrolment: null, nextKey: null })
  await writeIdentityFile(folder, stored)
  const read = await readIdentityFile(folder)
  expect(read?.enrolment).toEqual(stored.enrolment)
  expect(seedOf(read)).toBe(seedOf(stored))
  expect(read?.nextKey?.publicKey.equals(stored.nextKey!.publicKey)).toBe(true)
  expect(await readdir(folder)).toEqual([identityFileName])
  expect((await stat(path)).mode & 0o777).toBe(0o600)
})

test('a folder without a file, and no folder, are no identity', async () => {
  expect(await readIdentityFile(folder)).toBeNull()
  expect(await readIdentityFile(join(folder, 'absent'))).toBeNull()
  expect(await loadIdentity(folder)).toBeNull()
})

test('a key that is not enrolled is no identity yet', async () => {
  await writeIdentityFile(folder, { ...stored, enrolment: null })
  expect(await loadIdentity(folder)).toBeNull()
})

test('a temporary file that a crash left is replaced, whatever it holds and however it is protected', async () => {
  await writeFile(`${path}.tmp`, 'half a file', { mode: 0o644 })
  await writeIdentityFile(folder, stored)
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect(await readdir(folder)).toEqual([identityFileName])
})

test('a write that fails leaves what was there', async () => {
  await writeIdentityFile(folder, stored)
  const before = await readFile(path, 'utf8')
  await mkdir(`${path}.tmp`)
  await writeFile(join(`${path}.tmp`, 'x'), '')
  await expect(writeIdentityFile(folder, { ...stored, nextKey: null })).rejects.toMatchObject({ code: 'storage' })
  expect(await readFile(path, 'utf8')).toBe(before)
})

test.each([0o640, 0o604, 0o660, 0o644, 0o610, 0o777])(
  'mode %o is refused with the command that mends it',
  async mode => {
    await writeIdentityFile(folder, stored)
    await chmod(path, mode)
    await expect(readIdentityFile(folder)).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining(mode.toString(8)),
      hint: expect.stringContaining(`chmod 600 '${path}'`),
    })
  },
)

describe('a file that cannot be used says why, and shows nothing of the key', () => {
  const seed = privateKeyText(key.privateKey)
  const whole = { version: 1, privateKey: seed, enrolment: stored.enrolment, nextPrivateKey: null }
  test.each([
    ['an empty file', '', 'not JSON'],
    ['a file cut short', `{"version":1,"privateKey":"${seed}`, 'not JSON'],
    ['a list', '[]', 'not a JSON object'],
    ['null', 'null', 'not a JSON object'],
    ['another version', JSON.stringify({ ...whole, version: 2 }), 'version is not 1'],
    ['no key', JSON.stringify({ ...whole, privateKey: undefined }), 'privateKey is missing'],
    ['a key too short', JSON.stringify({ ...whole, privateKey: seed.slice(1) }), 'not 32 bytes'],
    ['an enrolment that is text', JSON.stringify({ ...whole, enrolment: 'x' }), 'enrolment is not an object'],
    [
      'an enrolment without a hub key',
      JSON.stringify({ ...whole, enrolment: { ...stored.enrolment, hubKey: undefined } }),
      'hubKey is missing',
    ],
    ['no word on a next key', JSON.stringify({ ...whole, nextPrivateKey: undefined }), 'nextPrivateKey is missing'],
    ['a file too long', JSON.stringify({ ...whole, more: 'x'.repeat(17_000) }), 'bytes'],
    ['zeros after a power cut', '\0'.repeat(200), 'not JSON'],
  ])('%s', async (_what, text, why) => {
    await writeFile(path, text, { mode: 0o600 })
    const error = await readIdentityFile(folder).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining(why),
      hint: expect.stringContaining('enrol again'),
    })
    expect(String(error)).not.toContain(seed.slice(0, 8))
  })
})
