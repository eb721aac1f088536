/** `enroll`: a one-time token becomes an identity. The token is a secret: it comes from a file, stdin or the environment, never from argv. */
import { readFile } from 'node:fs/promises'
import type { Command, CommandContext } from '@tributary/shared/cli'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { makeDataFolder } from '../config/data-folder.ts'
import { enroll } from '../identity/enroll.ts'
import { configOption, readConfigOption, textValue } from './config-option.ts'
import { readStdin } from './read-stdin.ts'

const maxTokenBytes = 4096

export const enrollCommand: Command = {
  name: 'enroll',
  summary: 'make this machine known to a hub, with a one-time token of the hub',
  options: {
    ...configOption,
    hub: { type: 'string', value: 'URL', help: 'origin of the hub (default hub.url of the configuration)' },
    'token-file': {
      type: 'string',
      value: 'FILE',
      help: 'file with the token, - for stdin (default: the variable TRIBUTARY_TOKEN)',
    },
    name: {
      type: 'string',
      value: 'NAME',
      help: 'what people call the gateway (default: its configured name, else the host name)',
    },
    replace: { type: 'boolean', help: 'give an agent that is enrolled a new key, or another hub' },
    insecure: { type: 'boolean', help: 'allow plain http to another machine' },
  },
  examples: [
    'tributary-agent enroll --hub https://hub.example.com --token-file token.txt',
    'tributary-agent enroll --token-file - < token.txt',
    'TRIBUTARY_TOKEN=tet_… tributary-agent enroll --config /etc/tributary/agent.yaml',
  ],
  async run(context) {
    const { values, out, json, signal } = context
    const config = await readConfigOption(context)
    const hub = textValue(values, 'hub') ?? config.hub.url
    if (hub === null) {
      throw new TributaryError('config', 'no hub is named', {
        hint: 'Give --hub https://…, or set hub.url in the configuration.',
      })
    }
    await makeDataFolder(config.dataDir)
    const name = textValue(values, 'name') ?? config.name
    const { identity, previousAgentId } = await enroll({
      hub,
      token: await readToken(context),
      ...(name !== null && { name }),
      dataDir: config.dataDir,
      insecure: config.hub.insecure || values.insecure === true,
      caFile: config.hub.caFile,
      proxy: config.hub.proxy,
      replace: values.replace === true,
      signal,
    })
    out(`enrolled as ${identity.agentId} (site ${identity.site}) at ${identity.hub}`)
    if (previousAgentId !== null) out(`it was ${previousAgentId} before; restart the agent if it is running`)
    json({ agentId: identity.agentId, site: identity.site, hub: identity.hub, name: identity.name, previousAgentId })
    return 0
  },
}

async function readToken({ values, env }: CommandContext): Promise<string> {
  const file = textValue(values, 'token-file')
  if (file === '-') return (await readStdin(maxTokenBytes)).trim()
  if (file === null) {
    const token = env.TRIBUTARY_TOKEN
    if (token) return token.trim()
    throw new TributaryError('config', 'no token is given', {
      hint: 'Give --token-file FILE (- for stdin), or set TRIBUTARY_TOKEN. Make a token on the hub: tributary-hub token create',
    })
  }
  try {
    return (await readFile(file, 'utf8')).slice(0, maxTokenBytes).trim()
  } catch (cause) {
    throw new TributaryError('config', `the token file ${file} cannot be read: ${messageOf(cause)}`, { cause })
  }
}
