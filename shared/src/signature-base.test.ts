import { createHmac, createPublicKey, sign, verify } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { contentDigest } from './content-digest.ts'
import { type RequestMessage, type ResponseMessage, signatureBase } from './signature-base.ts'
import { keyPairFromText, publicKeyText } from './signature-keys.ts'
import { type InnerList, isInnerList, parseDictionary } from './structured-fields.ts'

/** The text inside `x=…`, as it stands in Signature-Input. */
function covered(input: string): InnerList {
  const member = parseDictionary(`x=${input}`).get('x')
  if (!member || !isInnerList(member)) throw new Error(`not an inner list: ${input}`)
  return member
}

const bytes = (text: string) => Buffer.from(text, 'latin1')

// RFC 9421 appendix B.2: the messages of the examples.
const request: RequestMessage = {
  method: 'POST',
  target: '/foo?param=Value&Pet=dog',
  headers: {
    host: 'example.com',
    date: 'Tue, 20 Apr 2021 02:07:55 GMT',
    'content-type': 'application/json',
    'content-digest':
      'sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:',
    'content-length': '18',
  },
}
const response: ResponseMessage = {
  status: 200,
  headers: {
    date: 'Tue, 20 Apr 2021 02:07:56 GMT',
    'content-type': 'application/json',
    'content-digest':
      'sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:',
    'content-length': '23',
  },
}
// Appendix B.1.3 test-key-ecc-p256, public half.
const p256 = createPublicKey({
  key: {
    kty: 'EC',
    crv: 'P-256',
    x: 'qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA',
    y: 'Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0',
  },
  format: 'jwk',
})
const verifyP256 = (base: string, signature: string) =>
  verify('sha256', bytes(base), { key: p256, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64'))

describe('examples of RFC 9421', () => {
  test('B.2.6: Ed25519 signs the request to exactly the published signature', () => {
    const base = signatureBase(
      covered(
        '("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"',
      ),
      request,
    )
    expect(base).toBe(
      `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
    )
    // Appendix B.1.4 test-key-ed25519.
    const { privateKey, publicKey } = keyPairFromText('n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU')
    expect(publicKeyText(publicKey)).toBe('JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs')
    const published = 'wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=='
    expect(sign(null, bytes(base), privateKey).toString('base64')).toBe(published)
    expect(verify(null, bytes(base), publicKey, Buffer.from(published, 'base64'))).toBe(true)
  })

  test('§2.5: the signature base of a request with a digest', () => {
    const input =
      '("@method" "@authority" "@path" "content-digest" "content-length" "content-type");created=1618884473;keyid="test-key-rsa-pss"'
    expect(signatureBase(covered(input), request)).toBe(
      `"@method": POST
"@authority": example.com
"@path": /foo
"content-digest": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
"content-length": 18
"content-type": application/json
"@signature-params": ${input}`,
    )
  })

  test('B.2.1: no component at all, with a nonce', () => {
    const input = '();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"'
    expect(signatureBase(covered(input), request)).toBe(`"@signature-params": ${input}`)
  })

  test('B.2.4: the published ECDSA signature of a response verifies', () => {
    const base = signatureBase(
      covered(
        '("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"',
      ),
      response,
    )
    expect(
      verifyP256(base, 'wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw=='),
    ).toBe(true)
  })

  test('B.2.5: the published HMAC is reproduced', () => {
    const base = signatureBase(
      covered('("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'),
      request,
    )
    const secret = 'uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=='
    const mac = createHmac('sha256', Buffer.from(secret, 'base64')).update(base).digest('base64')
    expect(mac).toBe('pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=')
  })

  test('§2.4: the published signature of a response bound to its request verifies', () => {
    const body = '{"busy": true, "message": "Your call is very important to us"}'
    const digest = 'sha-512=:0Y6iCBzGg5rZtoXS95Ijz03mslf6KAMCloESHObfwnHJDbkkWWQz6PhhU9kxsTbARtY2PTBOzq24uJFpHsMuAg==:'
    expect(contentDigest(bytes(body), 'sha-512')).toBe(digest)
    const base = signatureBase(
      covered(
        '("@status" "content-digest" "content-type" "@authority";req "@method";req "@path";req "content-digest";req);created=1618884479;keyid="test-key-ecc-p256"',
      ),
      { status: 503, headers: { 'content-type': 'application/json', 'content-digest': digest }, request },
    )
    expect(
      verifyP256(base, 'dMT/A/76ehrdBTD/2Xx8QuKV6FoyzEP/I9hdzKN8LQJLNgzU4W767HK05rx1i8meNQQgQPgQp8wq2ive3tV5Ag=='),
    ).toBe(true)
  })

  test('§2.1: fields are joined, trimmed and unfolded', () => {
    const headers = {
      host: 'www.example.com',
      'x-ows-header': '  Leading and trailing whitespace.   ',
      'x-obs-fold-header': 'Obsolete\r\n    line folding.',
      'cache-control': ['max-age=60', '   must-revalidate'],
      'x-empty-header': '',
    }
    expect(
      signatureBase(covered('("x-ows-header" "x-obs-fold-header" "cache-control" "x-empty-header")'), {
        method: 'GET',
        target: '/',
        headers,
      }),
    ).toBe(
      `"x-ows-header": Leading and trailing whitespace.
"x-obs-fold-header": Obsolete line folding.
"cache-control": max-age=60, must-revalidate
"x-empty-header": 
"@signature-params": ("x-ows-header" "x-obs-fold-header" "cache-control" "x-empty-header")`,
    )
  })

  test('§2.1.2: a member of a dictionary by its key', () => {
    const headers = { 'example-dict': '  a=1, b=2;x=1;y=2, c=(a   b    c), d' }
    const list = covered(
      '("example-dict";key="a" "example-dict";key="d" "example-dict";key="b" "example-dict";key="c")',
    )
    expect(signatureBase(list, { method: 'GET', target: '/', headers }).split('\n').slice(0, 4)).toEqual([
      '"example-dict";key="a": 1',
      '"example-dict";key="d": ?1',
      '"example-dict";key="b": 2;x=1;y=2',
      '"example-dict";key="c": (a b c)',
    ])
  })

  test('§2.2: derived components', () => {
    const one = (name: string, target: string, host = 'www.example.com', scheme: 'http' | 'https' = 'https') =>
      signatureBase(covered(`("${name}")`), { method: 'POST', target, scheme, headers: { host } }).split('\n')[0]
    expect(one('@method', '/')).toBe('"@method": POST')
    expect(one('@request-target', '/path?param=value')).toBe('"@request-target": /path?param=value')
    expect(one('@path', '/path?param=value')).toBe('"@path": /path')
    expect(one('@path', '')).toBe('"@path": /')
    expect(one('@query', '/path?param=value&foo=bar&baz=bat%2Dman')).toBe(
      '"@query": ?param=value&foo=bar&baz=bat%2Dman',
    )
    expect(one('@query', '/path')).toBe('"@query": ?')
    expect(one('@authority', '/', 'WWW.Example.com:443')).toBe('"@authority": www.example.com')
    expect(one('@authority', '/', 'example.com:80', 'http')).toBe('"@authority": example.com')
    expect(one('@authority', '/', 'example.com:8080')).toBe('"@authority": example.com:8080')
  })
})

describe('a component that cannot be signed for certain is refused', () => {
  test.each([
    ['covered twice', '("date" "date")'],
    ['absent', '("x-absent")'],
    ['a name of Object.prototype', '("constructor")'],
    ['not supported', '("@target-uri")'],
    ['of a response, in a request', '("@status")'],
    ['bound to a request that is not there', '("@method";req)'],
    ['with a parameter that is not supported', '("date";bs)'],
    ['a derived component with a key', '("@method";key="a")'],
    ['an absent member', '("example-dict";key="zzz")'],
    ['a token', '(date)'],
    ['with a line break in its value', '("x-forged")'],
    ['with bytes beyond ASCII in its value', '("x-latin1")'],
  ])('%s', (_what, input) => {
    const message = {
      ...request,
      headers: { ...request.headers, 'example-dict': 'a=1', 'x-forged': 'a\r"@method": GET', 'x-latin1': 'é' },
    }
    expect(() => signatureBase(covered(input), message)).toThrow(expect.objectContaining({ code: 'malformed' }))
  })

  test('a request component in a response', () => {
    expect(() => signatureBase(covered('("@method")'), response)).toThrow('is not part of a response')
  })
})
