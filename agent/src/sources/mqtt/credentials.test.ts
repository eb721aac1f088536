import { describe, expect, it } from 'vitest'
import { Credentials, hashPassword, parsePasswordFile } from './credentials.ts'

describe('Credentials', () => {
  it('lets the right password in, also the second time, and nothing else', async () => {
    const credentials = new Credentials([{ name: 'u', passwordHash: await hashPassword('sécret') }])
    const check = (name: string, password: string) => credentials.check(name, Buffer.from(password))
    expect(
      await Promise.all([check('u', 'sécret'), check('u', 'wrong'), check('v', 'sécret'), check('u', '')]),
    ).toEqual([true, false, false, false])
    expect([await check('u', 'sécret'), await check('u', 'sécret2'), await check('u', 'x'.repeat(5000))]).toEqual([
      true,
      false,
      false,
    ])
  })

  it('says busy when too many logins wait', async () => {
    const credentials = new Credentials([
      { name: 'u', passwordHash: `scrypt$2$1$1$${'a'.repeat(22)}$${'b'.repeat(43)}` },
    ])
    const answers = await Promise.all(Array.from({ length: 300 }, () => credentials.check('u', Buffer.from('x'))))
    expect(new Set(answers)).toEqual(new Set([false, 'busy']))
    expect(await credentials.check('u', Buffer.from('x'))).toBe(false)
  })

  it('a hash that cannot be read is refused without showing it', () => {
    for (const passwordHash of [
      'hunter2',
      'scrypt$3$8$1$aaaaaaaaaaaaaaaaaaaaaa$bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',
      'scrypt$1048577$8$1$aaaaaaaa$bbbbbbbbbbbbbbbbbbbbbb',
    ]) {
      expect(() => new Credentials([{ name: 'u', passwordHash }])).toThrow(
        /^the password hash of MQTT user `u` cannot be read$/,
      )
    }
  })

  it('a password file is lines name:hash', () => {
    expect(parsePasswordFile('# users\n\na:h1\r\nb:x:y \n', 'f')).toEqual([
      { name: 'a', passwordHash: 'h1' },
      { name: 'b', passwordHash: 'x:y' },
    ])
    expect(() => parsePasswordFile('a:h\nnonsense\n', 'f')).toThrow('f:2 is not name:hash')
  })
})
