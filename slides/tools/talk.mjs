// What only the talk asks for: one idea a slide, little code, drawings that come step by step.
const MOST_LINES = 12

/** What is wrong with a slide, which has `code` blocks, `drawings` and `tables`, takes `clicks`, and
 * whose parts ask for `steps` (drawings by `$clicks` ask for none). */
export function talk({ content, frontmatter = {}, clicks: counted }, { code, drawings, tables, lines, clicks, steps }) {
  const wrong = []
  if (/^<<< /m.test(content) && lines > MOST_LINES)
    wrong.push(`${lines} lines of code, ${MOST_LINES} are the most, 8 to 10 are wanted`)
  if (code + drawings + tables > 1)
    wrong.push(`more than one idea: code blocks ${code}, drawings ${drawings}, tables ${tables}`)
  if (drawings && !clicks)
    wrong.push('a drawing without steps: v-click, or $clicks and `clicks` in the front matter')
  if (clicks !== counted)
    wrong.push(`it takes ${clicks} clicks, and its note has ${counted}: write [click] where they are said`)
  if (frontmatter.clicks !== undefined && steps && steps !== frontmatter.clicks)
    wrong.push(`its front matter says clicks: ${frontmatter.clicks}, and it has ${steps} steps`)
  return wrong
}
