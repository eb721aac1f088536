import { sign } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { contentDigest } from './content-digest.ts'
import { isTributaryError } from './errors.ts'
import { fields, formatBatchField, maxClockSkewS } from './protocol.ts'
import { type FieldMap, makeNonce, signRequest, signResponse, verifyRequest, verifyResponse } from './signature.ts'
import { signatureBase } from './signature-base.ts'
import { generateKeyPair } from './signature-keys.ts'
import { isInnerList, parseDictionary } from './structured-fields.ts'

const agent = generateKeyPair()
const hub = generateKeyPair()
const stranger = generateKeyPair()
const nowS = 1_700_000_000
const body = new TextEncoder().encode('a batch')
const unauthenticated = expect.objectContaining({ code: 'unauthenticated' })

const batchFields = { [fields.lane]: 'live', [fields.floor]: '7', [fields.batch]: formatBatchField(5, 9) }

interface Overrides {
  readonly path?: string
  readonly headers?: Record<string, string>
  readonly createdS?: number
  readonly key?: typeof agent
}

/** A signed request as the hub would receive it. */
function signed(overrides: Overrides = {}) {
  const path = overrides.path ?? '/v1/batches'
  const own = overrides.headers ?? batchFields
  const { privateKey } = overrides.key ?? agent
  const createdS = overrides.createdS ?? nowS
  const added = signRequest({ method: 'POST', path, headers: own, body, agentId: 'ag-1', privateKey, createdS })
  return {
    method: 'POST',
    path,
    headers: { ...own, ...added } as Record<string, string>,
    body,
    publicKey: agent.publicKey,
    nowS,
  }
}

/** A request signed by the agent's own key over other components or with other parameters than the profile's. */
function signedAs(input: string) {
  const request = signed()
  const list = parseDictionary(`sig1=${input}`).get('sig1')
  if (!list || !isInnerList(list)) throw new Error(input)
  const base = signatureBase(list, { method: request.method, target: request.path, headers: request.headers })
  const signature = sign(null, Buffer.from(base), agent.privateKey).toString('base64')
  return {
    ...request,
    headers: { ...request.headers, 'signature-input': `sig1=${input}`, signature: `sig1=:${signature}:` },
  }
}

const batchComponents =
  '"@method" "@path" "content-digest" "tributary-agent" "tributary-lane" "tributary-floor" "tributary-batch"'
const batchParameters = `;created=${nowS};keyid="ag-1";alg="ed25519";tag="tributary"`

describe('a request', () => {
  test('with a batch covers identity, lane and floor, and verifies', () => {
    const request = signed()
    expect(verifyRequest(request)).toBe('batch')
    expect(request.headers['signature-input']).toBe(`sig1=(${batchComponents})${batchParameters}`)
  })

  test('without a batch carries a nonce', () => {
    const request = signed({ path: '/v1/hello', headers: { [fields.nonce]: makeNonce() } })
    expect(verifyRequest(request)).toBe('nonce')
    expect(request.headers['signature-input']).toContain(
      '("@method" "@path" "content-digest" "tributary-agent" "tributary-nonce")',
    )
  })

  test('with a query covers the query', () => {
    const request = signed({ path: '/v1/hello?a=b', headers: { [fields.nonce]: makeNonce() } })
    expect(verifyRequest(request)).toBe('nonce')
    expect(request.headers['signature-input']).toContain('"@path" "@query" "content-digest"')
    expect(() => verifyRequest({ ...request, path: '/v1/hello?a=c' })).toThrow(unauthenticated)
    expect(() => verifyRequest({ ...request, path: '/v1/hello' })).toThrow(unauthenticated)
  })

  test('with neither batch nor nonce is not signed', () => {
    expect(() => signed({ headers: {} })).toThrow('has neither')
  })

  test('nonces do not repeat', () => {
    expect(makeNonce()).not.toBe(makeNonce())
    expect(Buffer.from(makeNonce(), 'base64url')).toHaveLength(16)
  })

  test('verifies with any of several keys', () => {
    expect(verifyRequest({ ...signed(), publicKey: [stranger.publicKey, agent.publicKey] })).toBe('batch')
    expect(() => verifyRequest({ ...signed(), publicKey: [] })).toThrow(unauthenticated)
    expect(() => verifyRequest({ ...signed(), publicKey: stranger.publicKey })).toThrow('does not verify')
  })

  test('verifies beside the signature of a proxy, whose tag is another', () => {
    const request = signed()
    request.headers['signature-input'] =
      `proxy=("@method");created=1;tag="proxy", ${request.headers['signature-input']}`
    request.headers.signature = `${request.headers.signature}, proxy=:AAAA:`
    expect(verifyRequest(request)).toBe('batch')
  })

  test('may order its components as it likes', () => {
    const order = batchComponents.split(' ').reverse().join(' ')
    expect(verifyRequest(signedAs(`(${order})${batchParameters}`))).toBe('batch')
  })
})

describe('a request is refused', () => {
  test.each([
    ['method', { method: 'PUT' }],
    ['path', { path: '/v1/other' }],
    ['path by a query', { path: '/v1/batches?x' }],
    ['body', { body: new TextEncoder().encode('a botch') }],
  ])('when its %s was changed', (_what, change) => {
    expect(() => verifyRequest({ ...signed(), ...change })).toThrow(unauthenticated)
  })

  test.each([
    [fields.lane, 'backlog'],
    [fields.floor, '8'],
    [fields.batch, formatBatchField(5, 10)],
    [fields.agent, 'ag-2'],
    ['content-digest', contentDigest(new Uint8Array())],
  ])('when %s was changed', (name, value) => {
    const request = signed()
    request.headers[name] = value
    expect(() => verifyRequest(request)).toThrow(unauthenticated)
  })

  test.each([fields.lane, fields.floor, fields.batch, fields.agent, 'content-digest', 'signature', 'signature-input'])(
    'when %s was removed',
    name => {
      const request = signed()
      delete request.headers[name]
      expect(() => verifyRequest(request)).toThrow(unauthenticated)
    },
  )

  test('when a batch identity was replaced by a nonce', () => {
    const request = signed()
    delete request.headers[fields.batch]
    request.headers[fields.nonce] = makeNonce()
    expect(() => verifyRequest(request)).toThrow('does not cover "tributary-nonce"')
  })

  test('when body and digest were changed together', () => {
    const other = new TextEncoder().encode('another')
    const request = signed()
    request.headers['content-digest'] = contentDigest(other)
    expect(() => verifyRequest({ ...request, body: other })).toThrow('does not verify')
  })

  test.each(batchComponents.split(' '))('when the signature leaves out %s', component => {
    const fewer = batchComponents.split(' ').filter(name => name !== component)
    expect(() => verifyRequest(signedAs(`(${fewer.join(' ')})${batchParameters}`))).toThrow(
      `does not cover ${component}`,
    )
  })

  test('when the signature covers more, or one component twice', () => {
    expect(() => verifyRequest(signedAs(`(${batchComponents} "@query")${batchParameters}`))).toThrow(
      'beyond the required',
    )
    const twice = signed()
    const input = twice.headers['signature-input'] ?? ''
    twice.headers['signature-input'] = input.replace('"@method"', '"@method" "@method"')
    expect(() => verifyRequest(twice)).toThrow(unauthenticated)
  })

  test.each([
    ['another algorithm', `;created=${nowS};keyid="ag-1";alg="hmac-sha256";tag="tributary"`],
    ['no algorithm', `;created=${nowS};keyid="ag-1";tag="tributary"`],
    ['another keyid', `;created=${nowS};keyid="ag-2";alg="ed25519";tag="tributary"`],
    ['no keyid', `;created=${nowS};alg="ed25519";tag="tributary"`],
    ['no created', ';keyid="ag-1";alg="ed25519";tag="tributary"'],
    ['a created that is text', `;created="${nowS}";keyid="ag-1";alg="ed25519";tag="tributary"`],
    ['another tag', `;created=${nowS};keyid="ag-1";alg="ed25519";tag="other"`],
    ['no tag', `;created=${nowS};keyid="ag-1";alg="ed25519"`],
  ])('when the signature has %s', (_what, parameters) => {
    expect(() => verifyRequest(signedAs(`(${batchComponents})${parameters}`))).toThrow(unauthenticated)
  })

  test('when two signatures claim the tag', () => {
    const request = signed()
    const again = (request.headers['signature-input'] ?? '').replace('sig1=', 'sig2=')
    request.headers['signature-input'] += `, ${again}`
    expect(() => verifyRequest(request)).toThrow('more than one signature')
  })

  test('when the signature is cut, of another length, or a string', () => {
    for (const signature of [
      'sig1=:AAAA:',
      `sig1=:${Buffer.alloc(64).toString('base64')}:`,
      'sig1="x"',
      'sig2=:AAAA:',
      'sig1=(1)',
    ]) {
      const request = signed()
      request.headers.signature = signature
      expect(() => verifyRequest(request)).toThrow(unauthenticated)
    }
  })

  test('when a field that it covers arrives in two lines', () => {
    const request = signed()
    const headers: FieldMap = { ...request.headers, [fields.lane]: ['live', 'backlog'] }
    expect(() => verifyRequest({ ...request, headers })).toThrow(unauthenticated)
    for (const signature of [[], [request.headers.signature ?? '', 'x=1']]) {
      expect(() => verifyRequest({ ...request, headers: { ...request.headers, signature } })).toThrow(
        'signature headers',
      )
    }
    expect(
      verifyRequest({ ...request, headers: { ...request.headers, signature: [request.headers.signature ?? ''] } }),
    ).toBe('batch')
  })
})

describe('the clock', () => {
  test.each([maxClockSkewS, -maxClockSkewS])('a difference of %i s is accepted', offS => {
    expect(verifyRequest(signed({ createdS: nowS + offS }))).toBe('batch')
  })

  test.each([maxClockSkewS + 1, -maxClockSkewS - 1, 2 * 366 * 86400, -nowS])(
    'a difference of %i s is clock-skew',
    offS => {
      expect(() => verifyRequest(signed({ createdS: nowS + offS }))).toThrow(
        expect.objectContaining({ code: 'clock-skew' }),
      )
    },
  )

  test('a wrong signature with a wrong clock is unauthenticated: a stranger learns nothing of the clock', () => {
    expect(() => verifyRequest(signed({ createdS: 1, key: stranger }))).toThrow(unauthenticated)
    expect(() => verifyRequest({ ...signed({ createdS: 1 }), body: new Uint8Array() })).toThrow(unauthenticated)
  })

  test('a clock that is not a number lets nothing pass', () => {
    expect(() => verifyRequest({ ...signed(), nowS: Number.NaN })).toThrow(
      expect.objectContaining({ code: 'clock-skew' }),
    )
  })
})

describe('a signed answer', () => {
  const answerBody = new TextEncoder().encode('{"code":"clock-skew"}')
  const answerTo = (request: { headers: FieldMap }, privateKey = hub.privateKey) =>
    signResponse({ status: 401, body: answerBody, requestHeaders: request.headers, privateKey, createdS: nowS })

  test('verifies for the request that it answers, and tells the time', () => {
    const request = signed({ createdS: 1 })
    const headers = answerTo(request)
    expect(headers['signature-input']).toBe(
      `sig1=("@status" "content-digest" "signature";req;key="sig1");created=${nowS};keyid="hub";alg="ed25519";tag="tributary"`,
    )
    const answer = { status: 401, headers, body: answerBody, requestHeaders: request.headers, publicKey: hub.publicKey }
    expect(verifyResponse(answer)).toEqual({ createdS: nowS })
  })

  test('is refused for another request, status, body or key', () => {
    const request = signed({ createdS: 1 })
    const headers = answerTo(request)
    const answer = { status: 401, headers, body: answerBody, requestHeaders: request.headers, publicKey: hub.publicKey }
    expect(() => verifyResponse({ ...answer, requestHeaders: signed({ createdS: 2 }).headers })).toThrow(
      unauthenticated,
    )
    expect(() => verifyResponse({ ...answer, status: 200 })).toThrow(unauthenticated)
    expect(() => verifyResponse({ ...answer, body: new Uint8Array() })).toThrow(unauthenticated)
    expect(() => verifyResponse({ ...answer, publicKey: stranger.publicKey })).toThrow(unauthenticated)
    expect(() => verifyResponse({ ...answer, headers: answerTo(request, agent.privateKey) })).toThrow(unauthenticated)
  })

  test("is not to be replaced by the agent's own signature or an unsigned answer", () => {
    const request = signed()
    const answer = {
      status: 401,
      headers: request.headers,
      body,
      requestHeaders: request.headers,
      publicKey: agent.publicKey,
    }
    expect(() => verifyResponse(answer)).toThrow(unauthenticated)
    expect(() => verifyResponse({ ...answer, headers: {} })).toThrow(unauthenticated)
  })

  test('signed by the hub, but over less than the binding to the request, is refused', () => {
    const request = signed()
    const digest = contentDigest(answerBody)
    const parameters = `;created=${nowS};keyid="hub";alg="ed25519";tag="tributary"`
    for (const components of [
      '"@status" "content-digest"',
      '"@status" "signature";req;key="sig1"',
      '"content-digest" "signature";req;key="sig1"',
      '',
    ]) {
      const input = `sig1=(${components})${parameters}`
      const list = parseDictionary(input).get('sig1')
      if (!list || !isInnerList(list)) throw new Error(input)
      const message = {
        status: 401,
        headers: { 'content-digest': digest },
        request: { method: '', target: '', headers: request.headers },
      }
      const bytes = sign(null, Buffer.from(signatureBase(list, message)), hub.privateKey).toString('base64')
      const headers = { 'content-digest': digest, 'signature-input': input, signature: `sig1=:${bytes}:` }
      const answer = {
        status: 401,
        headers,
        body: answerBody,
        requestHeaders: request.headers,
        publicKey: hub.publicKey,
      }
      expect(() => verifyResponse(answer)).toThrow('does not cover')
    }
  })

  test('is bound to the signature by the name that the request gave it', () => {
    const request = signed()
    const headers = {
      ...request.headers,
      'signature-input': (request.headers['signature-input'] ?? '').replace('sig1=', 'mine='),
      signature: (request.headers.signature ?? '').replace('sig1=', 'mine='),
    }
    const answer = answerTo({ headers })
    expect(answer['signature-input']).toContain('"signature";req;key="mine"')
    const received = {
      status: 401,
      headers: answer,
      body: answerBody,
      requestHeaders: headers,
      publicKey: hub.publicKey,
    }
    expect(verifyResponse(received)).toEqual({ createdS: nowS })
  })

  test('is not given to a request without a signature', () => {
    expect(() => answerTo({ headers: {} })).toThrow(unauthenticated)
  })
})

test('no change of one character in a signature field passes, and none is anything but unauthenticated', () => {
  const request = signed()
  fc.assert(
    fc.property(
      fc.constantFrom('signature-input', 'signature', 'content-digest'),
      fc.nat(),
      fc.integer({ min: 0x20, max: 0x7e }),
      (name, at, code) => {
        const value = request.headers[name] ?? ''
        const index = at % value.length
        const changed = value.slice(0, index) + String.fromCharCode(code) + value.slice(index + 1)
        fc.pre(changed !== value)
        expect(() => verifyRequest({ ...request, headers: { ...request.headers, [name]: changed } })).toThrow(
          unauthenticated,
        )
      },
    ),
    { numRuns: 300 },
  )
})

test('whatever the fields hold, a request that was not signed is unauthenticated', () => {
  const noise = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 80 }),
    fc.string({ unit: fc.constantFrom(...'sig1=("@path")::;, \t'), maxLength: 60 }),
  )
  const value = fc.option(fc.oneof(noise, fc.array(noise, { maxLength: 3 })), { nil: undefined })
  const names = ['signature-input', 'signature', 'content-digest', fields.agent, fields.batch, fields.nonce] as const
  fc.assert(
    fc.property(fc.tuple(...names.map(() => value)), fc.string({ maxLength: 20 }), (values, path) => {
      const headers = Object.fromEntries(names.map((name, i) => [name, values[i]]))
      try {
        verifyRequest({ method: 'POST', path, headers, body, publicKey: agent.publicKey, nowS })
        expect.unreachable('noise verified')
      } catch (error) {
        if (!isTributaryError(error, 'unauthenticated')) throw error
      }
    }),
    { numRuns: 500 },
  )
})
