/** Documents of the hub's API as the page reads them, and the page's own state. Types only: nothing of this is served. */

export interface Session {
  role: string
  keyId: string
  expiresAt: string
}

export interface Overview {
  hub: { version: string; now: string }
  agents: { total: number; online: number; offline: number; revoked: number }
  series: number
  readings: number
  readingsPerSecond: number
  anomalies: { open: number; lastDay: number; critical: number }
  lost: number
}

export type Value = number | boolean | string

export interface Latest {
  ts: string
  value: Value
  quality: string
}

export interface Series {
  seriesId: number
  agentId: string
  site: string
  device: string
  metric: string
  unit: string
  latest?: Latest | null
  openAnomalies?: number
}

export type AgentStatus = 'online' | 'offline' | 'never' | 'revoked'

/** Of its newest batch, since its first start. */
export interface AgentCounters {
  accepted: number
  stored: number
  folded: number
  suppressed: number
  deadLettered: number
  evicted: number
  maybeDuplicate: number
}

export interface ClassCounters {
  class: 'raw' | 'aggregate' | 'alarm'
  accepted: number
  stored: number
  folded: number
  suppressed: number
  evicted: number
}

export interface Agent {
  agentId: string
  site: string
  name: string
  labels: Record<string, string>
  createdAt: string | null
  revokedAt: string | null
  lastSeenAt: string | null
  counters: AgentCounters | null
  classes: ClassCounters[]
  keys: number
  status: AgentStatus
  lastReadingAt: string | null
  lagMs: number | null
  backlogReadings: number | null
  lostReadings: number
  missingBatches: number
  conflicts: number
}

export interface Anomaly {
  anomalyId: string
  seriesId: number
  agentId: string
  device: string
  metric: string
  unit: string
  detector: string
  openedAt: string
  closedAt: string | null
  surprise: number
  score: number
  severity: 'warning' | 'critical'
  stream: string
  value: number | null
  expected: number | null
  seenBefore: number
  learning: boolean
  historic: boolean
}

/** Columns of one series; `min`, `max` and `n` only when `bucketMs` is above 0. */
export interface Points {
  seriesId: number
  unit: string
  fromMs: number
  toMs: number
  bucketMs: number
  tsMs: number[]
  value: number[]
  min?: number[]
  max?: number[]
  n?: number[]
}

export interface NewPoints {
  seriesId: number
  tsMs: number[]
  value: number[]
}

export interface Page<Item> {
  items: Item[]
  next: string | null
}

export type ViewName = 'overview' | 'series' | 'anomalies' | 'agents'

/** What stands in the address, so that a view can be shared and reloaded. */
export interface Route {
  view: ViewName
  /** Charted series, in the order in which they were chosen. */
  ids: number[]
  /** Search text of the series list. */
  q: string
  /** A range that ends now, unless `span` is set. */
  range: RangeName
  /** A zoomed or shared span, ms. */
  span: Span | null
  /** The range moves with the clock and new points are appended. */
  live: boolean
  /** The anomaly being explained. */
  anomaly: string | null
  /** Of the list of anomalies. */
  filter: 'all' | 'open' | 'critical'
}

export type RangeName = '1h' | '6h' | '24h' | '7d' | '30d' | '90d' | 'all'

export interface Span {
  fromMs: number
  toMs: number
}

export type Connection =
  | { mode: 'idle' }
  | { mode: 'connecting' }
  | { mode: 'open' }
  | { mode: 'waiting'; retryAtMs: number; reason: string }

/** A list that is read a page after a page. */
export interface PagedList<Item> {
  items: Item[]
  next: string | null
  /** `first`: nothing to show yet. */
  loading: 'no' | 'first' | 'more'
  error: string | null
}

export interface ChartedSeries {
  seriesId: number
  meta: Series | null
  points: Points | null
  anomalies: Anomaly[]
  loading: boolean
  error: string | null
}

export interface AppState {
  session: Session | 'unknown' | null
  signIn: { busy: boolean; error: string | null }
  route: Route
  connection: Connection
  overview: Overview | null
  /** Readings a second over the last minutes, the newest last. */
  rates: number[]
  agents: Agent[] | null
  recent: Anomaly[] | null
  list: PagedList<Series>
  /** Row of the series list that the arrow keys are on. */
  activeRow: number
  anomalies: PagedList<Anomaly>
  charted: ChartedSeries[]
  sparks: { series: Series; points: Points | null }[] | null
  overlay: 'none' | 'shortcuts' | 'menu' | 'picker'
  theme: 'auto' | 'light' | 'dark'
  /** A failure that no view shows in its place. */
  failure: string | null
  /** The hub's clock minus the browser's, ms. */
  hubAheadMs: number
  nowMs: number
}

export interface ChartSeries {
  seriesId: number
  name: string
  /** Index of its colour. */
  color: number
  points: Points
  anomalies: readonly Anomaly[]
}

/** A panel of the chart: series that share a unit. */
export interface ChartModel {
  unit: string
  series: readonly ChartSeries[]
  span: Span
  /** Id of the anomaly being explained. */
  selected: string | null
  dark: boolean
  nowMs: number
  /** What a mark is called. */
  nameOf: (anomaly: Anomaly) => string
}
