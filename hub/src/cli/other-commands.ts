/** `tributary-hub openapi` and `config check`: nothing needs to run for them. */
import type { Command } from '@tributary/shared/cli'
import { readConfig } from '../config/read-config.ts'
import { openApiDocument } from '../http/app.ts'

export const openapi: Command = {
  name: 'openapi',
  summary: 'print the OpenAPI 3.1 document of the REST API',
  options: {},
  examples: ['tributary-hub openapi > openapi.json'],
  async run(context) {
    const document = openApiDocument()
    context.json(document)
    context.out(JSON.stringify(document, null, 2))
    return 0
  },
}

export const configCheck: Command = {
  name: 'config check',
  summary: 'say what is wrong with a configuration file, with line and column',
  options: { config: { type: 'string', short: 'c', help: 'the file; hub.yaml if there is one', value: 'FILE' } },
  examples: ['tributary-hub config check --config hub.yaml'],
  async run(context) {
    const file = context.values.config
    readConfig(typeof file === 'string' ? file : null, context.env)
    context.json({ ok: true })
    context.out('The configuration is good.')
    return 0
  },
}
