/** deploy/compose.yaml as Compose itself reads it (compose-spec prints it), in the part that the tests need. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { repository, tools } from './tools.ts'

export interface ComposeService {
  readonly image: string
  readonly build?: { readonly context: string; readonly dockerfile: string }
  readonly user?: string
  readonly entrypoint: readonly string[] | null
  readonly command: readonly string[] | null
  readonly environment?: Readonly<Record<string, string>>
  readonly volumes?: readonly { readonly source: string; readonly target: string; readonly read_only?: boolean }[]
  readonly configs?: readonly { readonly source: string; readonly target: string }[]
  readonly secrets?: readonly { readonly source: string; readonly target: string }[]
  readonly tmpfs?: readonly string[]
  readonly ports?: readonly { readonly host_ip: string; readonly published: string; readonly target: number }[]
  readonly [key: string]: unknown
}

export interface ComposeModel {
  readonly services: Readonly<Record<string, ComposeService>>
  readonly configs: Readonly<Record<string, { readonly file: string }>>
  readonly secrets: Readonly<Record<string, { readonly file: string }>>
}

export const composeFile = join(repository, 'deploy/compose.yaml')

export function readCompose(): ComposeModel {
  return JSON.parse(execFileSync(tools.composeSpec, [composeFile], { encoding: 'utf8' }))
}
