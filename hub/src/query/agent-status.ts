/** How an agent stands, as one piece of SQL for every query that says so. */

export const agentStatuses = ['online', 'offline', 'never', 'revoked'] as const
export type AgentStatus = (typeof agentStatuses)[number]

/** An agent is online as long as the hub took a batch of it within this time, ms. */
export const onlineMs = 120_000

/** Of the row `agent`, at the hub's time in milliseconds. */
export function agentStatus(agent: string, nowMs: string): string {
  return `case when ${agent}.revoked_at is not null then 'revoked'
               when ${agent}.last_seen_at is null then 'never'
               when ${agent}.last_seen_at > 'epoch'::timestamptz + (${nowMs}::int8 - ${onlineMs}) * interval '1 ms' then 'online'
               else 'offline' end`
}
