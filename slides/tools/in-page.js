// Runs in the page: what is wrong with what it shows. Each rule gives sentences.
(() => {
  const name = element => `<${element.tagName.toLowerCase()}> "${element.textContent.trim().replace(/\s+/g, ' ').slice(0, 40)}"`
  const place = element => element.getBoundingClientRect()
  const chain = (element) => {
    const all = []
    for (let at = element; at; at = at.parentElement) all.push(at)
    return all
  }
  const opacity = element => chain(element).reduce((product, at) => product * getComputedStyle(at).opacity, 1)
  const isShown = element => getComputedStyle(element).visibility !== 'hidden' && opacity(element) > 0.02 && place(element).width > 0

  /** The elements that show a text of their own. A recording has a terminal's rules, not the deck's. */
  function texts(root) {
    const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
    const all = new Set()
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      if (node.textContent.trim() && !node.parentElement.closest('style, script, .cast-screen') && isShown(node.parentElement))
        all.add(node.parentElement)
    }
    return [...all]
  }

  /** Texts of a drawing that leave it or their box, lie on each other, or run into a box. */
  function drawing(svg) {
    const wrong = []
    const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 9
    const leaves = (at, box, slack) => at.left < box.left - slack || at.right > box.right + slack || at.bottom > box.bottom + slack
    const boxes = [...svg.querySelectorAll('.sbox rect')].filter(isShown).map(place)
    const all = [...svg.querySelectorAll('text')].filter(text => text.textContent.trim() && isShown(text))
    for (const [i, text] of all.entries()) {
      const [at, own] = [place(text), text.closest('.sbox')?.querySelector('rect')]
      const turned = element => element.hasAttribute('transform')
      if (leaves(at, place(svg), 1.5))
        wrong.push(`outside of its drawing: ${name(text)}`)
      if (own && leaves(at, place(own), 1))
        wrong.push(`wider than its box: ${name(text)}`)
      if (!own && boxes.some(box => meet(at, box) && (at.left < box.left || at.right > box.right)))
        wrong.push(`runs into a box: ${name(text)}`)
      for (const other of all.slice(i + 1)) {
        if (!turned(text) && !turned(other) && meet(at, place(other)))
          wrong.push(`on each other: ${name(text)} and ${name(other)}`)
      }
    }
    return wrong
  }

  /** What overflows, is too small, is Markdown still, or is broken. */
  function layout(slide, { code, other }) {
    const wrong = []
    const page = slide.querySelector('.slidev-layout')
    if (!page)
      return ['there is no slide']
    const [box, slack] = [place(page), 1.5]
    const scale = box.width / page.offsetWidth
    const footer = slide.querySelector('.deck-footer')
    const bottom = footer?.textContent.trim() ? place(footer).top : box.bottom

    if (page.scrollHeight > page.clientHeight + 1 || page.scrollWidth > page.clientWidth + 1)
      wrong.push(`the slide overflows: ${page.scrollWidth} × ${page.scrollHeight}`)
    for (const pre of page.querySelectorAll('pre:not(.cast-screen *)')) {
      if (pre.scrollWidth > pre.clientWidth + 1 || pre.scrollHeight > pre.clientHeight + 1)
        wrong.push(`code overflows: ${name(pre)}`)
      if (!pre.textContent.trim())
        wrong.push('empty code')
    }
    for (const element of texts(page)) {
      const range = document.createRange()
      range.selectNodeContents(element)
      for (const rect of range.getClientRects()) {
        if (rect.width && rect.height && (rect.left < box.left - slack || rect.right > box.right + slack || rect.top < box.top - slack || rect.bottom > bottom + slack))
          wrong.push(`outside of the slide: ${name(element)}`)
      }
      const style = getComputedStyle(element)
      const svg = element.ownerSVGElement
      const size = Number.parseFloat(style.fontSize) * (svg ? place(svg).width / svg.viewBox.baseVal.width : scale)
      const least = element.closest('pre') ? code.pre : /^["']?Iosevka/.test(style.fontFamily) ? code.other : other
      if (size < least - 0.01)
        wrong.push(`${size.toFixed(1)} px is too small, ${least} is the least: ${name(element.closest('pre') ?? element)}`)
      if (!element.closest('pre, code, svg') && [...element.childNodes].some(node => node.nodeType === 3 && /\*\*|<<<|\]\(/.test(node.textContent)))
        wrong.push(`Markdown that is none: ${name(element)}`)
    }
    for (const svg of page.querySelectorAll('svg.fig'))
      wrong.push(...drawing(svg))
    for (const image of page.querySelectorAll('img')) {
      if (!image.complete || !image.naturalWidth)
        wrong.push(`a broken picture: ${image.src}`)
    }
    return [...new Set(wrong)]
  }

  const colour = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0]
    return { rgb: [r, g, b], a }
  }
  const over = (top, a, below) => top.map((value, i) => value * a + below[i] * (1 - a))
  const luminance = rgb => rgb.map(value => value / 255).map(v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)

  /** What a text is on: in a drawing the last box or circle below its middle, and the backgrounds around. */
  function ground(element) {
    const layers = []
    const svg = element.ownerSVGElement
    if (svg) {
      const at = place(element)
      const [x, y] = [(at.left + at.right) / 2, (at.top + at.bottom) / 2]
      for (const shape of svg.querySelectorAll('rect, circle')) {
        const box = place(shape)
        const before = shape.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING
        const style = getComputedStyle(shape)
        if (before && style.fill !== 'none' && box.left <= x && x <= box.right && box.top <= y && y <= box.bottom) {
          const { rgb, a } = colour(style.fill)
          layers.unshift([rgb, a * style.fillOpacity * opacity(shape)])
        }
      }
    }
    for (const at of chain(svg ?? element)) {
      const { rgb, a } = colour(getComputedStyle(at).backgroundColor)
      layers.push([rgb, a])
    }
    return layers.reverse().reduce((below, [rgb, a]) => over(rgb, a, below), [255, 255, 255])
  }

  /** Texts whose contrast is below `least` to 1; of a block of code, the faintest. */
  function contrast(root, least) {
    const worst = new Map()
    for (const element of texts(root)) {
      const style = getComputedStyle(element)
      const { rgb, a } = colour(element.ownerSVGElement ? style.fill : style.color)
      const below = ground(element)
      const [one, two] = [luminance(over(rgb, a * opacity(element), below)), luminance(below)]
      const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05)
      const block = element.closest('pre') ?? element
      if (ratio < least && ratio < (worst.get(block)?.ratio ?? least))
        worst.set(block, { ratio, element })
    }
    return [...worst.values()].map(({ ratio, element }) => `contrast ${ratio.toFixed(2)} to 1, ${least} is the least: ${name(element.closest('.line') ?? element)}`)
  }

  /** What the rules for the talk count. */
  function contents(slide) {
    const count = selector => slide.querySelectorAll(selector).length
    const lines = [...slide.querySelectorAll('pre')].map(pre => pre.querySelectorAll('.line').length || pre.textContent.trimEnd().split('\n').length)
    return { code: count('pre:not(.cast-screen *)'), drawings: count('svg.fig'), tables: count('table'), lines: Math.max(0, ...lines) }
  }

  /** As slide-bottom.vue knows them. */
  function clicks(slide) {
    const { clicks, steps } = slide.querySelector('.deck-footer').dataset
    return { clicks: Number(clicks), steps: Number(steps) }
  }

  /** A slide's text, a line of code or of a table on a line, a drawing's labels on one. */
  function text(slide) {
    const lines = [...slide.querySelectorAll('.line, tr, p, li, h1')].map(element => element.textContent)
    const drawings = [...slide.querySelectorAll('svg.fig')].map(svg => [...svg.querySelectorAll('text')].map(it => it.textContent).join(' '))
    return [...lines, ...drawings].map(line => line.replace(/\s+/g, ' ').trim()).filter(Boolean)
  }

  window.rules = { drawing, layout, contrast, contents, clicks, text }
})()
