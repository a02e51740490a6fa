import { isMapping } from '../../validate.js'

/** Options of engines whose values are written nowhere (lib/engines/open/engineKeys.ts). */
const secretKeys: readonly string[] = ['apiKey', 'headers']

/** Options without what is secret about models that are asked: keys, headers, and of URLs user, password and query. */
export function withoutSecrets(value: unknown): unknown {
  if (typeof value === 'string') return isUrl(value) ? bareUrl(value) : value
  if (Array.isArray(value)) return value.map(withoutSecrets)
  if (!isMapping(value)) return value
  const told = Object.entries(value).filter(([key]) => !secretKeys.includes(key))
  return Object.fromEntries(told.map(([key, each]) => [key, withoutSecrets(each)]))
}

const isUrl = (text: string): boolean => /^https?:\/\//.test(text) && URL.canParse(text)

function bareUrl(text: string): string {
  const { origin, pathname, hash } = new URL(text)
  return `${origin}${pathname}${hash}`
}
