/**
 * Which hub addresses the agent talks to: `https://` anywhere, plain `http://` on this machine only, since an enrolment token
 * and every reading would travel in clear. `insecure` lifts that, for a test bench or a link that is protected otherwise.
 */
import { TributaryError } from '@tributary/shared/errors'

/** The hub's origin. Throws `config` when the address cannot be used, with what to write instead. */
export function parseHubUrl(text: string, insecure: boolean): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw new TributaryError('config', 'the hub address is not an http or https URL', {
      hint: 'write it like https://hub.example.com',
    })
  }
  if (url.username !== '' || url.password !== '') {
    throw new TributaryError('config', 'the hub address carries a user name or password', {
      hint: `write ${url.protocol}//${url.host}`,
    })
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new TributaryError('config', `the hub address ${url.origin} has a path or query behind it`, {
      hint: `write ${url.origin}; the path is part of what is signed, so a hub stands at the root of its host name`,
    })
  }
  if (url.protocol === 'http:' && !insecure && !isLoopback(url.hostname)) {
    throw new TributaryError(
      'config',
      `${url.origin} is plain http to another machine: tokens and readings would travel in clear`,
      {
        hint: `write https://${url.host}, or allow it with --insecure (hub.insecure: true) on a link that is protected otherwise`,
      },
    )
  }
  return url
}

/** `hostname` as a `URL` gives it: lower case, IPv4 in dotted decimal, IPv6 in brackets. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname)
  )
}
