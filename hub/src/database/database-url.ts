/**
 * The address of a Postgres server, joined with a password that stands in a file of its own, so that the password is neither in the
 * configuration nor in the environment: a Docker secret, or a credential of systemd.
 */
import { readFileSync } from 'node:fs'
import { TributaryError } from '@tributary/shared/errors'

/** `url` with the first line of `passwordFile` for its password. Throws `config`; no message carries the password. */
export function databaseUrl(url: string, passwordFile: string | null): string {
  if (passwordFile === null) return url
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || parsed.username === '') {
    throw new TributaryError('config', 'database.password_file is given, but database.url names no user and server', {
      hint: 'Write database.url (DATABASE_URL) like postgres://tributary@db.example.com/tributary',
    })
  }
  if (parsed.password !== '') {
    throw new TributaryError('config', 'database.url carries a password, and database.password_file another one', {
      hint: 'Leave one of them out',
    })
  }
  parsed.password = encodeURIComponent(readPassword(passwordFile))
  return parsed.href
}

function readPassword(file: string): string {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new TributaryError('config', `database.password_file ${file} cannot be read (${code})`, { cause })
  }
  const password = text.split(/\r?\n/)[0] ?? ''
  if (password === '') throw new TributaryError('config', `database.password_file ${file}: its first line is empty`)
  return password
}
