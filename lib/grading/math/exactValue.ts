import { Budget, maximumExpressionLength, UnsupportedError } from './budget.js'
import { evaluateExact } from './exact.js'
import { bare } from './extract.js'
import { NotMathematics, parseMath } from './parse.js'
import { format } from './rational.js'

/** The value of an expression without variables as a fraction in lowest terms, or an integer; undefined where it has none. */
export function exactValue(text: string): string | undefined {
  if (text.length > maximumExpressionLength) return undefined
  try {
    const value = evaluateExact(parseMath(bare(text)), new Budget())
    return value && format(value)
  } catch (error) {
    if (error instanceof UnsupportedError || error instanceof NotMathematics) return undefined
    throw error
  }
}
