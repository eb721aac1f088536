/** What to do when there is nothing to show yet: the commands, in order. */
import { html } from '/console/vendor/lit-html.js'
import { icons } from './icons.js'
import { commandLine } from './parts.js'

/** @param {string} hubUrl */
export const enrolSteps = hubUrl => html`<div class="empty">
  ${icons.agents}
  <h2>No agent yet</h2>
  <p>An agent takes readings beside the machines and forwards them here. On the hub, make a token for it; on the gateway, enrol with
    it and start it.</p>
  <div class="steps">
    <div><p>1. On the hub</p>${commandLine('npx tributary-hub token create --site hall-1 > token.txt')}</div>
    <div><p>2. On the gateway</p>${commandLine(
      `npx tributary-agent enroll --hub ${hubUrl} --token-file token.txt\nnpx tributary-agent run`,
    )}</div>
  </div>
</div>`

export const publishSteps = () => html`<div class="empty">
  ${icons.series}
  <h2>No series yet</h2>
  <p>A series begins with its first reading. Publish one to an agent’s MQTT port; it stands here a second later.</p>
  <div class="steps">
    <div><p>From any machine that reaches the gateway</p>${commandLine(
      'mosquitto_pub -p 1883 -q 1 -t sensors/press-1/temperature -m \'{"value": 21.5, "unit": "Cel"}\'',
    )}</div>
    <div><p>Or play a recorded machine: 79 days, with its failures</p>${commandLine(
      'npx firmware-sim replay firmware-sim/data/machine_temperature_system_failure.csv --device press-1 --metric temperature --unit Cel --speed max',
    )}</div>
  </div>
</div>`
