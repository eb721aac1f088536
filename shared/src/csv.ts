/** One line of CSV (RFC 4180): quoted only where it must be, ended by CRLF. Null is an empty field. */
export function csvLine(fields: readonly unknown[]): string {
  return `${fields.map(csvField).join(',')}\r\n`
}

function csvField(field: unknown): string {
  const text = field === null || field === undefined ? '' : String(field)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
