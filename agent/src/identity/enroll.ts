/**
 * Enrolment: a one-time token becomes an identity.
 *
 * The key is made here, stored before the first request, and only its public half travels, with a proof that the private half is
 * held. Repeating an enrolment whose answer was lost sends the same key, which the hub answers in the same way. An agent that has
 * an identity keeps using it until a replacement is stored whole.
 */
import { sign } from 'node:crypto'
import { hostname } from 'node:os'
import { type ErrorCode, isTributaryError, TributaryError } from '@tributary/shared/errors'
import { type EnrollAnswer, type EnrollRequest, enrollProof, mediaTypes, paths } from '@tributary/shared/protocol'
import { type Backoff, retry } from '@tributary/shared/retry'
import { generateKeyPair, type KeyPair, publicKeyFromText, publicKeyText } from '@tributary/shared/signature-keys'
import { type HubAnswer, HubConnection } from './hub-connection.ts'
import { findProxy } from './hub-proxy.ts'
import { parseHubUrl } from './hub-url.ts'
import { type Identity, identityOf } from './identity.ts'
import { type Enrolment, readIdentityFile, type StoredIdentity, writeIdentityFile } from './identity-file.ts'
import { parseProblem } from './problem.ts'

export interface EnrollOptions {
  /** Origin of the hub, as given by a person. */
  readonly hub: string
  /** `tet_…`; a secret. */
  readonly token: string
  /** What people call the gateway; the host name by default. */
  readonly name?: string
  readonly dataDir: string
  /** Allow plain http to another machine. Default false. */
  readonly insecure?: boolean
  /** PEM file that replaces the built-in root certificates. */
  readonly caFile?: string | null
  /** `hub.proxy`: an address, `none`, or null to go by the environment. */
  readonly proxy?: string | null
  /** The agent is enrolled and shall get a new key (rotation), or another hub. Default false: refused. */
  readonly replace?: boolean
  /** Tries while the hub cannot be reached; default 3. */
  readonly tries?: number
  readonly backoff?: Backoff
  readonly signal?: AbortSignal
}

export interface Enrolled {
  readonly identity: Identity
  /** Of the identity that was replaced. */
  readonly previousAgentId: string | null
}

/** Largest answer to an enrolment, bytes. */
const maxAnswerBytes = 64 * 1024

/**
 * Enrol and store the identity. Throws `config` (address), `conflict` (already enrolled), `token-expired`, `token-used`,
 * `token-revoked`, `unauthenticated` (no such token), `unavailable`, `storage`, `corrupt`.
 */
export async function enroll(options: EnrollOptions): Promise<Enrolled> {
  const url = parseHubUrl(options.hub, options.insecure ?? false)
  if (!/^tet_[\x21-\x7e]{1,250}$/.test(options.token)) {
    throw new TributaryError('malformed', 'that is not an enrolment token', {
      hint: 'a token begins with tet_; make one with: tributary-hub token create',
    })
  }
  const stored = await readIdentityFile(options.dataDir)
  if (stored?.enrolment && !options.replace) throw alreadyEnrolled(stored.enrolment)
  const { key, answer } = await askWithKey(url, stored, options)
  const identity: StoredIdentity = {
    key,
    enrolment: {
      hub: url.origin,
      agentId: answer.agentId,
      site: answer.site,
      name: nameOf(options),
      hubKey: answer.hubKey,
    },
    nextKey: null,
  }
  await writeIdentityFile(options.dataDir, identity)
  return { identity: identityOf(identity), previousAgentId: stored?.enrolment?.agentId ?? null }
}

/**
 * With the key of an enrolment that did not finish, else with a new one. The hub may know the former by another token, if that
 * enrolment's answer was lost; this token then needs a key of its own.
 */
async function askWithKey(
  url: URL,
  stored: StoredIdentity | null,
  options: EnrollOptions,
): Promise<{ key: KeyPair; answer: EnrollAnswer }> {
  const unfinished = stored?.enrolment ? stored.nextKey : stored?.key
  if (unfinished) {
    try {
      return { key: unfinished, answer: await askHub(url, unfinished, options) }
    } catch (error) {
      if (!isTributaryError(error, 'conflict')) throw error
    }
  }
  const key = generateKeyPair()
  await writeIdentityFile(
    options.dataDir,
    stored?.enrolment ? { ...stored, nextKey: key } : { key, enrolment: null, nextKey: null },
  )
  return { key, answer: await askHub(url, key, options) }
}

function alreadyEnrolled({ agentId, hub }: Enrolment): TributaryError {
  return new TributaryError('conflict', `this agent is enrolled as ${agentId} at ${hub}`, {
    hint: 'to give it a new key, enrol again with --replace and a token for that agent',
  })
}

async function askHub(url: URL, key: KeyPair, options: EnrollOptions): Promise<EnrollAnswer> {
  const publicKey = publicKeyText(key.publicKey)
  const proof = sign(null, enrollProof(options.token, publicKey), key.privateKey).toString('base64url')
  const request: EnrollRequest = { token: options.token, publicKey, name: nameOf(options), proof }
  const body = new TextEncoder().encode(JSON.stringify(request))
  const signal = options.signal ?? new AbortController().signal
  const connection = new HubConnection({
    url,
    caFile: options.caFile ?? null,
    proxy: findProxy(url, options.proxy ?? null, process.env),
    connections: 1,
    connectTimeoutMs: 5000,
    answerTimeoutMs: 30_000,
  })
  try {
    return await retry(
      async () => {
        const headers = { 'content-type': mediaTypes.json, accept: mediaTypes.json }
        return readAnswer(
          await connection.send({ method: 'POST', path: paths.enroll, headers, body, maxAnswerBytes, signal }),
          url,
        )
      },
      {
        ...(options.backoff ?? { baseMs: 500, capMs: 5000 }),
        tries: options.tries ?? 3,
        signal,
        retryable: error => isTributaryError(error) && error.retryable,
      },
    )
  } finally {
    await connection.close()
  }
}

function nameOf(options: EnrollOptions): string {
  return options.name ?? hostname()
}

function readAnswer(answer: HubAnswer, url: URL): EnrollAnswer {
  if (answer.status !== 200 && answer.status !== 201) throw refusal(answer, url)
  let value: Partial<Record<keyof EnrollAnswer, unknown>> | null
  try {
    value = JSON.parse(Buffer.from(answer.body).toString('utf8'))
    const { agentId, site, hubKey, hubTimeMs } = value ?? {}
    if (typeof agentId !== 'string' || !/^[a-z0-9-]{1,64}$/.test(agentId)) throw new Error('no agentId')
    if (typeof site !== 'string' || typeof hubKey !== 'string') throw new Error('no site or hubKey')
    publicKeyFromText(hubKey)
    return { agentId, site, hubKey, hubTimeMs: typeof hubTimeMs === 'number' ? hubTimeMs : 0 }
  } catch (cause) {
    throw new TributaryError('malformed', `${url.origin} did not answer as a hub does`, {
      cause,
      hint: 'check that the address is that of a Tributary hub',
    })
  }
}

const hints: Partial<Record<ErrorCode, string>> = {
  unauthenticated: 'check that the token was copied whole and belongs to this hub',
  'token-expired': 'make a new one on the hub: tributary-hub token create',
  'token-used': 'make a new one on the hub: tributary-hub token create',
  'token-revoked': 'make a new one on the hub: tributary-hub token create',
  'not-found': 'check that the address is that of a Tributary hub',
}

function refusal(answer: HubAnswer, url: URL): TributaryError {
  const { code, detail, retryAfterS } = parseProblem(answer)
  const hint = hints[code]
  return new TributaryError(code, `${url.origin} refused the enrolment: ${detail}`, {
    ...(hint === undefined ? {} : { hint }),
    ...(retryAfterS === null ? {} : { retryAfterS }),
  })
}
