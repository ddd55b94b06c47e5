// What only the talk asks for: one idea a slide, little code, drawings that come step by step.
const MOST_LINES = 12

/** What is wrong with a slide, which has `code` blocks, `drawings` and `tables`. */
export function talk({ content, clicks }, { code, drawings, tables, lines }) {
  const wrong = []
  if (/^<<< /m.test(content) && lines > MOST_LINES)
    wrong.push(`${lines} lines of code, ${MOST_LINES} are the most, 8 to 10 are wanted`)
  if (code + drawings + tables > 1)
    wrong.push(`more than one idea: code blocks ${code}, drawings ${drawings}, tables ${tables}`)
  if (drawings && !clicks)
    wrong.push('a drawing without steps: use $clicks, and write `clicks` into the front matter')
  return wrong
}
