/**
 * Who this agent is, in one file of the data folder: `identity.json`, mode 0600.
 *
 * Guarantees
 * - Written whole or not at all: temporary file, fsync, rename, fsync of the folder.
 * - Refused when anybody but the owner may read it. The private key never leaves this module but as a `KeyObject`.
 * - A key exists from before the first enrolment request on, so that a request whose answer was lost is repeated with the same
 *   key; while a replacement is under way both keys are in the file.
 */
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { type KeyPair, keyPairFromText, privateKeyText, publicKeyFromText } from '@tributary/shared/signature-keys'

export const identityFileName = 'identity.json'

/** Longest file, bytes. */
const maxFileBytes = 16 * 1024

/** What the hub said at enrolment. */
export interface Enrolment {
  /** Origin of the hub. */
  readonly hub: string
  readonly agentId: string
  readonly site: string
  /** What people call the gateway. */
  readonly name: string
  /** The hub's raw public key, base64url; pinned. */
  readonly hubKey: string
}

export interface StoredIdentity {
  /** The key in use; belongs to `enrolment` when there is one. */
  readonly key: KeyPair
  readonly enrolment: Enrolment | null
  /** A key that is being enrolled in place of `key`. */
  readonly nextKey: KeyPair | null
}

/** Null when there is no file. Throws `forbidden` for a file that others may read, `corrupt` for one that makes no sense. */
export async function readIdentityFile(dataDir: string): Promise<StoredIdentity | null> {
  const path = join(dataDir, identityFileName)
  const text = await readPrivate(path)
  return text === null ? null : parse(text, path)
}

async function readPrivate(path: string): Promise<string | null> {
  try {
    await using file = await open(path, 'r')
    const { mode, size } = await file.stat()
    if ((mode & 0o077) !== 0) {
      throw new TributaryError(
        'forbidden',
        `${path} holds the private key and others may read it (mode ${(mode & 0o777).toString(8)})`,
        {
          hint: `chmod 600 '${path}'; if somebody may have read it, enrol again with a new token`,
        },
      )
    }
    if (size > maxFileBytes) throw corrupt(path, `it has ${size} bytes`)
    return await file.readFile('utf8')
  } catch (error) {
    if (error instanceof TributaryError) throw error
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw new TributaryError('storage', `cannot read ${path}: ${messageOf(error)}`, { cause: error })
  }
}

function parse(text: string, path: string): StoredIdentity {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Not the parser's message: it quotes the text, and the text is a key.
    throw corrupt(path, 'it is not JSON')
  }
  if (!isRecord(value)) throw corrupt(path, 'it is not a JSON object')
  if (value.version !== 1) throw corrupt(path, 'its version is not 1')
  try {
    return {
      key: keyPairFromText(textOf(value, 'privateKey')),
      enrolment: value.enrolment === null ? null : enrolmentOf(value.enrolment),
      nextKey: value.nextPrivateKey === null ? null : keyPairFromText(textOf(value, 'nextPrivateKey')),
    }
  } catch (cause) {
    throw corrupt(path, messageOf(cause))
  }
}

function enrolmentOf(value: unknown): Enrolment {
  if (!isRecord(value)) throw new TributaryError('malformed', 'enrolment is not an object')
  const hubKey = textOf(value, 'hubKey')
  publicKeyFromText(hubKey)
  return {
    hub: textOf(value, 'hub'),
    agentId: textOf(value, 'agentId'),
    site: textOf(value, 'site'),
    name: textOf(value, 'name'),
    hubKey,
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function textOf(record: Record<string, unknown>, key: string): string {
  const value = record[key]
  if (typeof value !== 'string') throw new TributaryError('malformed', `${key} is missing`)
  return value
}

function corrupt(path: string, why: string): TributaryError {
  return new TributaryError('corrupt', `${path} cannot be used: ${why}`, {
    hint: 'restore it from a backup, or move it away and enrol again with a new token; the buffer keeps its readings either way',
  })
}

/** Durable when it resolves; makes the folder (mode 0700) when it is missing. Throws `storage`. */
export async function writeIdentityFile(dataDir: string, identity: StoredIdentity): Promise<void> {
  const text = JSON.stringify(
    {
      version: 1,
      privateKey: privateKeyText(identity.key.privateKey),
      enrolment: identity.enrolment,
      nextPrivateKey: identity.nextKey && privateKeyText(identity.nextKey.privateKey),
    },
    null,
    2,
  )
  const path = join(dataDir, identityFileName)
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 })
    await replaceFile(path, `${text}\n`)
    await using folder = await open(dataDir, 'r')
    await folder.sync()
  } catch (cause) {
    throw new TributaryError('storage', `cannot write ${path}: ${messageOf(cause)}`, {
      cause,
      hint: 'check free space and the owner of the folder',
    })
  }
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`
  // What a crash left behind holds a key too.
  await rm(temporary, { force: true })
  await using file = await open(temporary, 'wx', 0o600)
  await file.writeFile(text)
  await file.sync()
  await rename(temporary, path)
}
