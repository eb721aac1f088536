import { expect, test } from 'vitest'
import { isLoopback, parseHubUrl } from './hub-url.ts'

test.each([
  'https://hub.example.com',
  'https://hub.example.com:8443/',
  'https://192.0.2.7',
  'http://127.0.0.1:8080',
  'http://127.8.9.10',
  'http://localhost:8080',
  'http://hub.localhost',
  'http://[::1]:8080',
  'HTTP://LOCALHOST',
])('%s is a hub', text => {
  expect(parseHubUrl(text, false).origin).toBe(new URL(text).origin)
})

test.each([
  'http://hub.example.com',
  'http://192.0.2.7:8080',
  'http://127.0.0.1.example.com',
  'http://localhost.example.com',
  'http://notlocalhost',
  'http://0.0.0.0:8080',
  'http://[::ffff:192.0.2.1]',
])('%s would carry tokens in clear, and is taken only when that is allowed', text => {
  expect(() => parseHubUrl(text, false)).toThrow(
    expect.objectContaining({ code: 'config', hint: expect.stringContaining('https://') }),
  )
  expect(parseHubUrl(text, true).protocol).toBe('http:')
})

test.each([
  '',
  'hub.example.com',
  'hub:8080',
  'ftp://hub',
  'https://',
  'https://hub/v1',
  'https://hub/?a',
  'https://hub/#a',
  'file:///etc/passwd',
])('%j is no hub', text => {
  expect(() => parseHubUrl(text, true)).toThrow(expect.objectContaining({ code: 'config' }))
})

test('a password in the address is refused and not repeated', () => {
  expect(() => parseHubUrl('https://me:hunter2@hub', false)).toThrow(/^(?!.*hunter2).*password/)
})

test('numbers that mean this machine are recognised as a URL writes them', () => {
  expect(isLoopback(new URL('http://0x7f.1').hostname)).toBe(true)
  expect(isLoopback(new URL('http://[0:0:0:0:0:0:0:1]').hostname)).toBe(true)
})
