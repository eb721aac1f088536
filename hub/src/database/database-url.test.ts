import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectDatabase } from './database.ts'
import { databaseUrl } from './database-url.ts'
import { testDatabase } from './test-database.ts'

const plain = 'postgres://tributary@db.example.com/tributary'
let folder: string
let file: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'database-url-'))
  file = join(folder, 'password')
})
afterAll(() => rmSync(folder, { recursive: true }))

test('without a file the address stays as it is', () => {
  expect(databaseUrl('postgres:///tributary?host=/run/postgresql', null)).toBe(
    'postgres:///tributary?host=/run/postgresql',
  )
})

test('every character of a password arrives; the line end behind it does not', () => {
  const password = `p@ss:w/o?r#d%41 ü+&='"\\`
  writeFileSync(file, `${password}\r\n`)
  expect(decodeURIComponent(new URL(databaseUrl(plain, file)).password)).toBe(password)
})

test('a server takes the password of the file', async () => {
  await using role = await testDatabase({ empty: true })
  const { pool, connectionString } = role
  const name = `file_password_${process.pid}`
  await pool.query(`create role ${name} login password 'a%b@c:d/e'`)
  try {
    writeFileSync(file, 'a%b@c:d/e\n')
    const url = new URL(connectionString)
    Object.assign(url, { username: name, password: '' })
    await using database = connectDatabase(databaseUrl(url.href, file))
    expect((await database.pool.query('select current_user as me')).rows).toEqual([{ me: name }])
  } finally {
    await pool.query(`drop role ${name}`)
  }
})

test.each([
  ['a file that is not there', plain, '/nowhere/password', '/nowhere/password cannot be read (ENOENT)'],
  ['an empty file', plain, '/dev/null', 'first line is empty'],
  ['a second password', 'postgres://a:secret@b/c', '/dev/null', 'another one'],
  ['an address without user', 'postgres://b/c', '/dev/null', 'names no user'],
  ['an address that is none', 'tributary', '/dev/null', 'names no user'],
])('%s is refused, and the password is in no message', (_what, url, passwordFile, message) => {
  expect(() => databaseUrl(url, passwordFile)).toThrow(message)
  expect(() => databaseUrl(url, passwordFile)).not.toThrow('secret')
})
