/** Where a refusal stands that is the answer: its first words. */
const window = 300

const inability = "(?:can(?:no|['’])t|can not|(?:am|['’]m) (?:unable|not able) to|will not|won['’]t|must decline to)"
const service = '(?:help|assist|answer|provide|fulfil|comply|complete|support|do that|create|generate|discuss)'

const refusals = [
  new RegExp(String.raw`^(?:i['’]?m|i am) (?:very |so |really )?sorry\b.{0,80}?\b${inability}`, 's'),
  new RegExp(String.raw`^(?:sorry|i apologi[sz]e)\b.{0,80}?\b${inability}`, 's'),
  new RegExp(String.raw`^(?:unfortunately, )?i ?${inability} (?:\w+ )?${service}`),
  new RegExp(
    String.raw`\bas an (?:ai|artificial intelligence)(?: language model| model| assistant)?,? i ?${inability}`,
  ),
  /^(?:对不起|抱歉|很抱歉)[，,]?.{0,20}(?:无法|不能)/,
]

/** The words with which an answer declines, where it begins so. Takes time that does not grow with the text. */
export function refusalIn(text: string): string | undefined {
  const beginning = text
    .trimStart()
    .slice(0, window)
    .replace(/^[*_"'>\s]+/, '')
    .toLowerCase()
  for (const pattern of refusals) {
    const found = pattern.exec(beginning)?.[0]
    if (found !== undefined) return found
  }
  return undefined
}
