/**
 * Which account Postgres runs as. It refuses to run as root, so a hub started by root lends it an account that exists already:
 * the owner of the data folder when there is one, else the first of `candidates`. No account is ever created.
 */
import { readFileSync, statSync } from 'node:fs'
import { TributaryError } from '@tributary/shared/errors'

export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

const candidates = ['postgres', 'nobody', 'daemon'] as const

/** The account to lend, or null when Postgres runs as the hub's own account. `pgData` may not exist yet. */
export function postgresAccount(pgData: string, passwdFile = '/etc/passwd'): Account | null {
  const owner = statSync(pgData, { throwIfNoEntry: false })
  const me = process.getuid?.() ?? 0
  if (me !== 0) {
    if (owner !== undefined && owner.uid !== me) {
      throw new TributaryError('forbidden', `${pgData} belongs to uid ${owner.uid}, the hub runs as uid ${me}`, {
        hint: `start the hub as the account that made the folder, or: chown -R ${me} ${pgData}`,
      })
    }
    return null
  }
  const known = readAccounts(passwdFile)
  if (owner !== undefined && owner.uid !== 0) {
    const name = known.find(account => account.uid === owner.uid)?.name ?? `uid ${owner.uid}`
    return { name, uid: owner.uid, gid: owner.gid }
  }
  for (const candidate of candidates) {
    const account = known.find(({ name, uid }) => name === candidate && uid !== 0)
    if (account !== undefined) return account
  }
  throw new TributaryError(
    'not-supported',
    `Postgres does not run as root, and none of ${candidates.join(', ')} exists`,
    {
      hint: 'start the hub as an unprivileged account, or set DATABASE_URL',
    },
  )
}

function readAccounts(file: string): Account[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .map(line => line.split(':'))
    .filter(fields => fields.length >= 4)
    .map(fields => ({ name: fields[0] ?? '', uid: Number(fields[2]), gid: Number(fields[3]) }))
}
