import { BranchMergeError } from '../errors.js'
import { BadRow } from './badRow.js'
import { checkAnswer, checkPrompt } from './checkComplete.js'
import type { Conversation, Message } from './conversation.js'
import { JinjaTemplate } from './jinja/template.js'
import type { Value } from './jinja/values.js'
import { fromJson } from './jinjaValues.js'
import { nearTurns, type RenderedTurn } from './nearTurns.js'
import { parseJson } from './parseJson.js'

/** What one answer is asked with, and what the model writes: up to and with the token that ends it. */
export interface Turn {
  source: string
  target: string
  /** False where the row says so, by `weight: 0` or `train: false`. */
  trained: boolean
  /** The answer has no reasoning; the template writes an empty one, as Qwen3's does. */
  emptyReasoning?: true
  /** The source begins with earlier turns, which stand in another document of the row, too. */
  repeats?: boolean
}

/** Noncharacters, which no text has, around what the model writes. */
const [begin, end] = ['\ufdd0', '\ufdd1']

/** Llama 3 writes a date into the system text, of the day where none is given: prepared data must not depend on the day. */
const dateString = '26 Jul 2024'

/** A chat template of Hugging Face's kind, that cuts what it writes into turns. */
export class ChatTemplate {
  private readonly template: JinjaTemplate
  /** It says itself, by `{% generation %}`, what the model writes. */
  private readonly marked: boolean

  /**
   * @param name - as messages call it
   * @param tokens - bos_token, eos_token and their like, by name
   * @throws ERR_CHAT_TEMPLATE
   */
  constructor(
    readonly name: string,
    readonly text: string,
    private readonly tokens: Readonly<Record<string, string>>,
  ) {
    this.marked = /{%-?\s*generation\s*-?%}/.test(text)
    if (text.includes('strftime_now') && !text.includes('date_string')) {
      throw templateError(
        name,
        'it asks for the date of the day (strftime_now), so the data would never be the same twice',
      )
    }
    try {
      this.template = new JinjaTemplate(text)
    } catch (cause) {
      throw templateError(name, `it has an error: ${(cause as Error).message}`, cause)
    }
  }

  /**
   * The turns of a conversation, as one document or several. Without `{% generation %}` a turn's target is what the rendering
   * with the answer has beyond the rendering that asks for it. Where a template writes what came before differently once more
   * turns follow, as Qwen3's does without the reasoning, a new document begins: each answer is trained once, behind
   * exactly what a model is asked with.
   *
   * @param lastOnly - only the last answer matters
   * @throws BadRow
   */
  documents(conversation: Conversation, lastOnly: boolean): Turn[][] {
    try {
      return this.documentsWith(conversation, lastOnly, '')
    } catch (error) {
      const hasCallAlone = conversation.messages.some(({ content, tool_calls }) => tool_calls && content === '')
      if (!hasCallAlone || !(error instanceof BadRow)) throw error
      try {
        // OpenAI has null where a message is a call alone, and some templates look for that; others cannot take it.
        return this.documentsWith(conversation, lastOnly, null)
      } catch {
        throw error
      }
    }
  }

  private documentsWith({ messages, tools }: Conversation, lastOnly: boolean, noText: '' | null): Turn[][] {
    const given = {
      messages,
      values: messages.map((message) => messageValue(message, noText)),
      tools: tools === undefined ? null : fromJson(parseJson(tools)),
    }
    const documents = this.marked ? [this.markedTurns(given)] : this.comparedDocuments(given, lastOnly)
    return documents.filter((turns) => turns.some(({ trained }) => trained))
  }

  /** What a model is given to write the next answer. */
  prompt(messages: readonly Message[]): string {
    return this.render(
      messages.map((message) => messageValue(message, '')),
      null,
      true,
    )
  }

  private markedTurns({ messages, values, tools }: Rendered): Turn[] {
    const parts = this.render(values, tools, false, [begin, end]).split(begin)
    const answers = messages.flatMap(({ role }, i) => (role === 'assistant' ? [i] : []))
    if (parts.length !== answers.length + 1) {
      throw new BadRow(`${this.name} marks ${parts.length - 1} of ${answers.length} answers`)
    }
    let source = parts[0] as string
    return parts.slice(1).map((part, k) => {
      const [target = '', rest = ''] = part.split(end)
      const place = answers[k] as number
      checkPrompt(messages.slice((answers[k - 1] ?? -1) + 1, place), k === 0 ? tools : null, source)
      checkAnswer(messages[place] as Message, target)
      const turn = turnOf(messages[place] as Message, source, target)
      source = rest
      return turn
    })
  }

  private comparedDocuments({ messages, values, tools }: Rendered, lastOnly: boolean): Turn[][] {
    const near = lastOnly
      ? undefined
      : nearTurns(
          (some, asks) =>
            this.render(
              some.map((i) => values[i] as Value),
              tools,
              asks,
            ),
          messages,
        )
    if (near) return [this.checkedTurns(near, messages, tools)]
    const places = messages.flatMap(({ role }, i) => (role === 'assistant' ? [i] : []))
    const documents: Turn[][] = []
    let written = ''
    for (const i of lastOnly ? places.slice(-1) : places) {
      const prompt = this.render(values.slice(0, i), tools, true)
      const answered = this.render(values.slice(0, i + 1), tools, false)
      if (!answered.startsWith(prompt)) {
        throw new BadRow(`${this.name} does not write the prompt of an answer and the answer one after the other`)
      }
      // What stands behind the token that ends an answer, a line break, is not the model's.
      const target = answered.slice(prompt.length).trimEnd()
      const before = messages.findLastIndex(({ role }, place) => role === 'assistant' && place < i)
      checkPrompt(messages.slice(before + 1, i), before < 0 || lastOnly ? tools : null, prompt)
      checkAnswer(messages[i] as Message, target)
      const goesOn = documents.length > 0 && prompt.startsWith(written)
      const repeats = documents.length > 0 && !goesOn
      const turn = {
        ...turnOf(messages[i] as Message, goesOn ? prompt.slice(written.length) : prompt, target),
        ...(repeats && { repeats }),
      }
      if (goesOn) documents.at(-1)?.push(turn)
      else documents.push([turn])
      written = prompt + target
    }
    return documents
  }

  private checkedTurns(near: readonly RenderedTurn[], messages: readonly Message[], tools: Value): Turn[] {
    const answers = messages.flatMap(({ role }, i) => (role === 'assistant' ? [i] : []))
    return near.map(({ prompt, source, target }, k) => {
      const [before, i] = [answers[k - 1] ?? -1, answers[k] as number]
      checkPrompt(messages.slice(before + 1, i), before < 0 ? tools : null, prompt)
      checkAnswer(messages[i] as Message, target)
      return turnOf(messages[i] as Message, source, target)
    })
  }

  private render(
    messages: Value[],
    tools: Value,
    addGenerationPrompt: boolean,
    marks?: readonly [string, string],
  ): string {
    const variables = new Map<string, Value>([
      ...Object.entries(this.tokens),
      ['messages', messages],
      ['tools', tools],
      ['documents', null],
      ['date_string', dateString],
      ['add_generation_prompt', addGenerationPrompt],
    ])
    try {
      return this.template.render(variables, marks)
    } catch (cause) {
      throw new BadRow(`${this.name}: ${(cause as Error).message}`)
    }
  }
}

function turnOf({ content, untrained }: Message, source: string, target: string): Turn {
  const isEmpty = !content.includes('</think>') && /^\s*<think>\s*<\/think>/.test(target)
  return { source, target, trained: !untrained, ...(isEmpty && { emptyReasoning: true }) }
}

interface Rendered {
  messages: readonly Message[]
  /** The messages as templates see them. */
  values: Value[]
  tools: Value
}

function messageValue({ untrained: _, tool_calls, ...message }: Message, noText: '' | null): Value {
  const value = fromJson(message) as Map<Value, Value>
  if (tool_calls === undefined) return value
  if (message.content === '') value.set('content', noText)
  return value.set('tool_calls', fromJson(parseJson(tool_calls)))
}

export function templateError(name: string, what: string, cause?: unknown): BranchMergeError {
  return new BranchMergeError('ERR_CHAT_TEMPLATE', `Cannot use ${name}: ${what}. Choose another with template.`, {
    cause,
  })
}
