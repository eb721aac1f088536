/** `config check` and `config example`. */
import type { Command } from '@tributary/shared/cli'
import { checkConfig } from '../agent.ts'
import { exampleText } from '../config/example-file.ts'
import { configOption, readConfigOption } from './config-option.ts'

export const configCheck: Command = {
  name: 'config check',
  summary: 'check a configuration without starting anything; every problem is shown with its line',
  options: configOption,
  examples: ['tributary-agent config check', 'tributary-agent config check --config /etc/tributary/agent.yaml'],
  async run(context) {
    const config = await readConfigOption(context)
    await checkConfig(config)
    context.out('the configuration is good')
    context.json({ ok: true })
    return 0
  },
}

export const configExample: Command = {
  name: 'config example',
  summary: 'print a configuration file with every key, its meaning, unit, default and bounds',
  options: {},
  examples: ['tributary-agent config example > agent.yaml'],
  async run({ out, json }) {
    out(exampleText().trimEnd())
    json({ text: exampleText() })
    return 0
  },
}
