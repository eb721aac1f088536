/** Where the uplink writes what a person should know; a pino logger fits. */
export interface UplinkLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}
