// Read before MathJax 3.2.2 itself, mathjax/tex-svg.js: one file with its glyphs, from npm's mathjax@3.2.2, unchanged.
window.MathJax = {
  tex: { inlineMath: [["\\(", "\\)"]], displayMath: [["\\[", "\\]"]], processEscapes: true },
  options: {
    ignoreHtmlClass: ".*|",
    processHtmlClass: "arithmatex",
    enableMenu: false, // it would load parts that are not here
  },
};
