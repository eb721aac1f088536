/** The services of deploy/compose.yaml with their images, as containers on this machine: same commands, files and environment, free ports. */
import { chmodSync, copyFileSync, mkdirSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type ComposeModel, readCompose } from './compose-model.ts'
import { type ContainerOptions, giveAway, type Mount, prepareHost } from './container.ts'
import { buildImage, type Image } from './image.ts'

export interface Stack {
  readonly folder: string
  readonly model: ComposeModel
  readonly images: Readonly<Record<'agent' | 'hub', Image>>
}

/** Builds both images below `folder`, which must be one that every account may enter. */
export function buildStack(folder: string): Stack {
  const model = readCompose()
  const names = Object.keys(model.services)
  prepareHost(join(folder, 'host'), names)
  const images = {
    agent: buildImage('agent', join(folder, 'agent-image')),
    hub: buildImage('hub', join(folder, 'hub-image')),
  }
  for (const kind of ['volumes', 'files']) mkdirSync(join(folder, kind))
  return { folder, model, images }
}

/** What a service of the compose file is started with; `env` on top, for its ports. */
export function containerOf(stack: Stack, name: string, env: Record<string, string> = {}): ContainerOptions {
  const service = stack.model.services[name]!
  const image = name === 'agent' || name === 'hub' ? stack.images[name] : null
  const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  return {
    host: join(stack.folder, 'host'),
    user: service.user ?? image!.config.user,
    workdir: image?.config.workdir ?? '/',
    env: { PATH: path, ...image?.config.env, ...service.environment, ...env },
    mounts: [...imageMounts(image), ...volumeMounts(stack, name), ...fileMounts(stack, name)],
    tmpfs: (service.tmpfs ?? []).map(option => option.split(':')[0]!),
  }
}

/** `docker run IMAGE`: no compose file, one volume. */
export function imageContainer(stack: Stack, name: 'agent' | 'hub', volume: string, env: Record<string, string>) {
  const { config } = stack.images[name]
  const [data = ''] = config.volumes
  return {
    host: join(stack.folder, 'host'),
    user: config.user,
    workdir: config.workdir,
    env: { ...config.env, ...env },
    mounts: [...imageMounts(stack.images[name]), { from: volumeFolder(stack, volume), to: data, writable: true }],
  }
}

/** Entrypoint and command, with those of the compose file before those of the image. */
export function commandOf(stack: Stack, name: string): string[] {
  const { entrypoint, command } = stack.model.services[name]!
  const config = name === 'agent' || name === 'hub' ? stack.images[name].config : null
  return [...(entrypoint ?? config!.entrypoint), ...(command ?? config?.command ?? [])]
}

/** A file for the container of a config or secret of that name, in place of the one that the compose file names. */
export function placeFile(stack: Stack, name: string, from: string): void {
  copyFileSync(from, join(stack.folder, 'files', name))
  chmodSync(join(stack.folder, 'files', name), 0o644)
}

export function volumeFolder(stack: Stack, name: string): string {
  const folder = join(stack.folder, 'volumes', name)
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  if (readdirSync(folder).length === 0) giveAway(folder)
  return folder
}

function imageMounts(image: Image | null): Mount[] {
  return image === null ? [] : [{ from: join(image.root, image.config.workdir), to: image.config.workdir }]
}

function volumeMounts(stack: Stack, name: string): Mount[] {
  return (stack.model.services[name]!.volumes ?? []).map(({ source, target, read_only: readOnly }) => ({
    from: volumeFolder(stack, source),
    to: target,
    writable: readOnly !== true,
  }))
}

function fileMounts(stack: Stack, name: string): Mount[] {
  const { configs = [], secrets = [] } = stack.model.services[name]!
  for (const { source } of configs) placeFile(stack, basename(source), stack.model.configs[source]!.file)
  return [...configs, ...secrets].map(({ source, target }) => ({
    from: join(stack.folder, 'files', source),
    to: target,
  }))
}
