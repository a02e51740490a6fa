import { BranchMergeError } from '../../errors.js'
import { BadRow } from './badRow.js'
import type { Conversation, Message } from './conversation.js'
import { fromJson } from './jinja/fromJson.js'
import { JinjaTemplate } from './jinja/template.js'
import type { Value } from './jinja/values.js'

/** What one answer is asked with, and what the model writes: up to and with the token that ends it. */
export interface Turn {
  source: string
  target: string
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
   * The turns of a conversation. Without `{% generation %}` a turn's target is what the rendering with the answer has beyond
   * the rendering that asks for it; what a template changes afterwards, when more turns follow, cannot be trained.
   *
   * @param lastOnly - only the last answer matters: earlier ones may look different when they are history
   * @throws BadRow
   */
  turns(conversation: Conversation, lastOnly: boolean): Turn[] {
    const turns = this.marked ? this.markedTurns(conversation) : this.comparedTurns(conversation, lastOnly)
    checkComplete(conversation, turns, lastOnly)
    return turns
  }

  /** What a model is given to write the next answer. */
  prompt(messages: readonly Message[], tools: Conversation['tools']): string {
    return this.render(messages, tools, true)
  }

  private markedTurns({ messages, tools }: Conversation): Turn[] {
    const parts = this.render(messages, tools, false, [begin, end]).split(begin)
    const answers = messages.filter(({ role }) => role === 'assistant').length
    if (parts.length !== answers + 1) throw new BadRow(`${this.name} marks ${parts.length - 1} of ${answers} answers`)
    let source = parts[0] as string
    return parts.slice(1).map((part) => {
      const [target = '', rest = ''] = part.split(end)
      const turn = { source, target }
      source = rest
      return turn
    })
  }

  private comparedTurns({ messages, tools }: Conversation, lastOnly: boolean): Turn[] {
    const whole = this.render(messages, tools, false)
    const places = messages.flatMap(({ role }, i) => (role === 'assistant' ? [i] : []))
    const turns: Turn[] = []
    let position = 0
    for (const i of lastOnly ? places.slice(-1) : places) {
      const prompt = this.render(messages.slice(0, i), tools, true)
      const answered = i === messages.length - 1 ? whole : this.render(messages.slice(0, i + 1), tools, false)
      if (!answered.startsWith(prompt)) {
        throw new BadRow(`${this.name} does not write the prompt of an answer and the answer one after the other`)
      }
      // What stands behind the token that ends an answer, a line break, is not the model's.
      const target = answered.slice(prompt.length).trimEnd()
      if (!whole.startsWith(prompt + target)) {
        throw new BadRow(
          `${this.name} writes answer ${places.indexOf(i) + 1} differently once more turns follow: set maskHistory, or choose another template`,
        )
      }
      turns.push({ source: prompt.slice(position), target })
      position = prompt.length + target.length
    }
    return turns
  }

  private render(
    messages: readonly Message[],
    tools: Conversation['tools'],
    addGenerationPrompt: boolean,
    marks?: readonly [string, string],
  ): string {
    const variables = new Map<string, Value>([
      ...Object.entries(this.tokens),
      ['messages', messages.map((message) => fromJson(message))],
      ['tools', fromJson(tools ?? null)],
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

/** That nothing of what is to be learnt is lost: templates for asking leave the reasoning out, or whole answers. */
function checkComplete({ messages }: Conversation, turns: readonly Turn[], lastOnly: boolean): void {
  const answers = messages.filter(({ role }) => role === 'assistant')
  const wanted = lastOnly ? answers.slice(-1) : answers.slice(-turns.length)
  for (const [i, { content }] of wanted.entries()) {
    const { target = '' } = turns[turns.length - wanted.length + i] ?? {}
    const isThere = content.split(/<\/?think>/).every((part) => target.includes(part.trim()))
    if (!isThere) {
      const what = content.includes('</think>') ? 'the reasoning or the answer' : 'a part of the answer'
      throw new BadRow(`the chat template leaves out ${what}: choose another template`)
    }
  }
}

export function templateError(name: string, what: string, cause?: unknown): BranchMergeError {
  return new BranchMergeError('ERR_CHAT_TEMPLATE', `Cannot use ${name}: ${what}. Choose another with template.`, {
    cause,
  })
}
