module.exports = (name) => `hello ${name}, from the team's own registry`;
