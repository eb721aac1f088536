/** `password hash`: from a password on stdin to what `mqtt.users` and `mqtt.password_file` hold. */
import type { Command } from '@tributary/shared/cli'
import { TributaryError } from '@tributary/shared/errors'
import { hashPassword } from '../sources/mqtt/credentials.ts'
import { readStdin } from './read-stdin.ts'

export const passwordHash: Command = {
  name: 'password hash',
  summary: 'hash a password of an MQTT user, read from stdin',
  options: {},
  examples: [
    'tributary-agent password hash < password.txt',
    'printf \'%s\' "$PASSWORD" | tributary-agent password hash',
  ],
  async run({ out, json }) {
    const password = (await readStdin(1024)).replace(/\r?\n$/, '')
    if (password === '') throw new TributaryError('unprocessable', 'the password on stdin is empty')
    const hash = await hashPassword(password)
    out(hash)
    json({ hash })
    return 0
  },
}
