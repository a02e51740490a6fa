import { BadRow } from './badRow.js'
import type { Message } from './conversation.js'
import { strip } from './jinja/methods.js'
import type { Value } from './jinja/values.js'
import { parseJson, textsIn } from './parseJson.js'

/**
 * That a template loses nothing of what is to be learnt: some leave the reasoning out, or calls, or whole answers.
 *
 * @param target - what it writes for the answer
 * @throws BadRow
 */
export function checkAnswer({ content, tool_calls }: Message, target: string): void {
  if (!content.split(/<\/?think>/).every((part) => target.includes(part.trim()))) {
    const what = content.includes('</think>') ? 'the reasoning or the answer' : 'a part of the answer'
    throw new BadRow(`the chat template leaves out ${what}: choose another template`)
  }
  if (tool_calls === undefined) return
  for (const call of parseJson(tool_calls) as unknown[]) {
    if (!isWritten(call, target)) {
      throw new BadRow(
        'the chat template leaves out a tool call or a part of it: choose one that has a form for tool_calls',
      )
    }
  }
}

/** That a prompt has what the messages before the answer say, and the tools. */
export function checkPrompt(messages: readonly Message[], tools: Value, prompt: string): void {
  for (const { role, content } of messages) {
    // As templates trim it: Python's white space, which has more characters.
    if (!isTextWritten(strip(content, undefined, 'both').trim(), prompt)) {
      throw new BadRow(`the chat template leaves out the text of ${role}: choose another template`)
    }
  }
  for (const name of toolNames(tools)) {
    if (!prompt.includes(name)) {
      throw new BadRow(
        `the chat template leaves out the tool ${name}: choose one that has a form for tools, or name another column as tools`,
      )
    }
  }
}

/** Names, keys and values of a call, which templates write as JSON, as XML, or otherwise; the id and type are not said. */
function isWritten(call: unknown, target: string): boolean {
  const { function: inner = call } = call as { function?: unknown }
  const fields = inner instanceof Map ? Object.fromEntries(inner) : (inner as Record<string, unknown>)
  const isNamed = typeof fields.name !== 'string' || target.includes(fields.name)
  return isNamed && areArgumentsWritten(fields.arguments, target)
}

function areArgumentsWritten(given: unknown, target: string): boolean {
  if (typeof given === 'string' && isTextWritten(given, target)) return true
  const parsed = typeof given === 'string' ? tryJson(given) : given
  return [...textsIn(parsed)].every((text) => isTextWritten(text, target))
}

function tryJson(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    return text
  }
}

/** As it is, or as JSON writes it, with or without escapes of what is not ASCII. */
function isTextWritten(text: string, written: string): boolean {
  if (written.includes(text)) return true
  const json = JSON.stringify(text).slice(1, -1)
  if (written.includes(json)) return true
  return written.includes(
    json.replace(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  )
}

function toolNames(tools: Value): string[] {
  if (!Array.isArray(tools)) return []
  return tools.flatMap((tool) => {
    if (!(tool instanceof Map)) return []
    const inner = tool.get('function')
    const name = inner instanceof Map ? inner.get('name') : tool.get('name')
    return typeof name === 'string' ? [name] : []
  })
}
