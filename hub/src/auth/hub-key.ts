/**
 * The hub's own Ed25519 key: what it signs (the answer to a wrong clock) an agent can trust without a clock and without TLS,
 * because it learned the public half at enrolment. PKCS#8 PEM, mode 0600. Several hubs behind one address must share it.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { publicKeyText } from '@tributary/shared/signature-keys'
import { requirePrivate, writePrivateFile } from './private-file.ts'

export interface HubKey {
  readonly privateKey: KeyObject
  /** Raw public key, 32 bytes, base64url. */
  readonly publicKey: string
}

/** Read the key, or make it when the file is not there yet. */
export function loadHubKey(path: string): HubKey {
  if (!existsSync(path)) {
    const { privateKey } = generateKeyPairSync('ed25519')
    writePrivateFile(path, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
    return { privateKey, publicKey: publicKeyText(privateKey) }
  }
  requirePrivate(path)
  const privateKey = parse(path)
  if (privateKey.asymmetricKeyType !== 'ed25519') {
    throw new TributaryError(
      'config',
      `${path} holds a ${privateKey.asymmetricKeyType} key; the hub signs with Ed25519`,
      {
        hint: `Make one with: openssl genpkey -algorithm ed25519 -out ${path}`,
      },
    )
  }
  return { privateKey, publicKey: publicKeyText(privateKey) }
}

function parse(path: string): KeyObject {
  try {
    return createPrivateKey(readFileSync(path))
  } catch (cause) {
    throw new TributaryError('config', `${path} is not a private key in PEM form: ${messageOf(cause)}`, {
      cause,
      hint: 'Restore it from a backup. A new key makes agents that enrolled before ignore signed answers',
    })
  }
}
