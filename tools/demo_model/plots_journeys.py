# SPDX-License-Identifier: Apache-2.0
"""Plots in which somebody is on the way. See words.draw_cast for the slots and words.fill for the template language."""

from plot import Plot

PLOTS = [
    Plot(
        "{The <t> in the Tree|Up in the Tree}",
        "ntc",
        """<child_at_p> <n_She> had a <c> <t>. {Suddenly|Then}, {a strong wind came|the wind took it}, and the <t> {landed|came down} in a {high|tall} tree. <n> {jumped and jumped|jumped as high as <n_she> could}, but <n_she> {was too small|could not get it}.
{A <s> came by.|A <s> saw it all.} "{I will help you|Let me try}," it said and {pushed the tree|ran against the tree}. But the <t> {did not fall|stayed where it was}. {Then|After that} <f> came with a {long stick|chair}, but {that was too short|even that did not help}. <n> {was close to tears|sat down and was sad}.
Then a {little|young} <x> {came along|heard them}. "{I can go up there|That is easy for me}," it said. It went up into the tree and {gave the <t> a push|let the <t> fall}. <n> {caught it|held it tight}. "{Thank you|You are great}, little <x>!" said <n>. {They all played with the <t> until the evening.|And <n> gave the <x> <food>.} {Big or small, everyone can help.|After that, <n> never played with the <t> on windy days.}""",
        "The <c> <t> landed in a tree, and a little <x> got it down.",
        [
            ("Where did the <t> land?", "The <t> landed in a tree."),
            ("Who got the <t> down?", "A little <x> got it down."),
            ("What colour was {it|the <t>}?", "The <t> was <c>."),
            ("Who came first?", "First, a <s> came."),
            ("{What did <n> have|What landed in the tree}?", "It was a <c> <t>."),
        ],
        {"x": ["squirrel", "monkey"]},
    ),
    Plot(
        "{<f> Is Ill|A Visit}",
        "nf",
        """{One day, <n>|<n>} waited for <f> <at_p>, but <f> did not come. "{<f> is ill|<f> has to stay in bed}," said <f_her> <mother>. <n> {thought about it|was sad}. "{What can I do for <f>|How can I make <f_him> happy}?" <n_she> asked a <size> <a>. "{Bring <f_him> something warm|A small present helps a lot}," said the <a>.
So <n> {picked <k> <c> flowers|found <k> <c> flowers} <at_q>, and at home <n_she> made some soup. Then <n_she> {walked|ran} to the house of <n_her> friend. <f> {lay in bed|was in bed} and {looked tired|was very pale}. "{I am so glad that you are here|You came to see me}!" said <f>.
<f> ate the soup and {looked at|smelled} the <c> flowers. <n> told <f_him> {a funny story|a long story} about a <b> that wanted to {fly|be king|eat the moon}, and <f> {laughed and laughed|had to laugh}. {The next day|Two days later}, <f> was well again. "{It was the soup|It was the flowers}," said <f_her> <mother>. "No," said <f>, "it was my friend.\"""",
        "<f> was ill, and <n> came with soup and <c> flowers.",
        [
            ("Who was ill?", "<f> was ill."),
            ("What did <n> make?", "<n> made some soup."),
            ("What colour were the flowers?", "The flowers were <c>."),
            ("How many flowers were there?", "There were <k> flowers."),
            ("Where {were|did <n> find} the flowers?", "The flowers were <at_q>."),
        ],
    ),
    Plot(
        "{The Clever <s>|The <s> and the Wolf}",
        "s",
        """{One day, a|Once upon a time, a|A} little <s> was on the way <to_p>. {Suddenly|Then} a wolf {stood in front of it|jumped out from behind a tree}. "{I am hungry|Now I have you}," said the wolf. "{I am going to eat you|You are my dinner}." The <s> was {afraid|very afraid}, but it {thought fast|did not run}.
"{I am so small and thin|I am only a small meal}," said the <s>. "{My big brother comes this way soon|Wait a little for my big brother}. He is much {bigger|fatter} than I am." The wolf {thought about it|liked that}. "{Good, then go|All right}," it said, and it sat down {by the road|behind a tree} and waited. The <s> ran {as fast as it could|quickly} <to_p>.
The wolf waited and waited. {The sun went down|It got dark}, and then {it saw something big|somebody came}. But it was a <w>! "{Are you waiting for me|What do you want here}?" asked the <w> in a loud voice. The wolf {was so afraid that it ran|jumped up and ran} <to_q> and never came back. And the little <s> <at_p> {laughed|slept well that night}.""",
        "A wolf wanted to eat a little <s>, but the <s> was clever and got away.",
        [
            ("Who wanted to eat the <s>?", "A wolf wanted to eat the <s>."),
            ("Where did the <s> run?", "The <s> ran <to_p>."),
            ("Who came in the end?", "A <w> came."),
            ("Where did the wolf run?", "The wolf ran <to_q>."),
            ("Was the <s> big or small?", "The <s> was small."),
        ],
        {"w": ["bear", "hunter", "bull", "farmer"]},
    ),
    Plot(
        "{The Way Home|Lost in the Forest}",
        "n",
        """{One day, <n>|<n>|One evening, <n>} was looking for {berries|flowers|nuts} in the forest. {<n_She> went further and further.|<n_She> did not look at the way.} When {it got dark|the sun went down}, <n_she> did not know the way home. "{Where am I|Which way is home}?" <n_she> {asked|cried}. {Nobody answered.|It was very quiet.}
{Then|Suddenly} <n_she> saw {two eyes|a small light} in the dark. It was a <size> <a> with a <c> lamp! "{Do not be afraid|You are lost, I see}," said the <a>. "{Where do you live|Where is your home}?" "{I live|My house is} <at_q>," said <n>. "{I know the way|That is not far}," said the <a>. "{Come with me|Follow my light}."
They walked {over a small bridge|along a narrow path} and past {an old house|a big stone}. At last they came <to_q>. "{There is my house|I can see my house}!" {cried|said} <n>. <n_poss> <mother> {was standing at the door|ran to meet <n_him>} and {held <n_him> tight|was so glad}. When <n> {turned around|wanted to thank the <a>}, only the <c> lamp was there. {<n> kept it all <n_her> life.|Since then, the lamp has a place in <n_poss> window.}""",
        "<n> was lost in the forest, and a <a> with a <c> lamp took <n_him> home.",
        [
            ("Where was <n> lost?", "<n> was lost in the forest."),
            ("Who helped <n>?", "A <a> helped <n>."),
            ("What colour was the lamp?", "The lamp was <c>."),
            ("Where does <n> live?", "<n> lives <at_q>."),
            ("What did the <a> have?", "The <a> had a <c> lamp."),
        ],
    ),
    Plot(
        "{Whose <u> Is This?|The <u>}",
        "np",
        """<child_at_p> {On the ground lay|In the grass lay} a <c> <u>. "{Did somebody lose it|Whose is it}?" thought <n>. <n_She> {asked|went to} a <a> first. "{Is this <u> yours|Did you lose a <u>}?" "{No|No, it is not mine}," said the <a>. "{My <u> is <d>|I never had a <u>}."
Then <n> asked <f>. "Is this <u> yours?" "{No, but it is beautiful|No, I have no <u>}," said <f>. "{Keep it|Take it home}, nobody will know." But <n> did not want {that|to keep it}. "{It is not mine|Somebody is sad now}," <n_she> said and {went on|walked on} <to_q>.
There sat an old man {with a sad face|who looked for something}. "{I lost my <c> <u>|My <c> <u> is gone}," he said. "{I had it for <k> years|It was a present from my wife}." "{Here it is|Look what I have}!" said <n> and {gave it to him|held it out}. The old man {was so happy that he danced|laughed and cried at the same time}. "{You are an honest <n_child>|I thank you with all my heart}," he said and gave <n> <food>.""",
        "<n> found a <c> <u> and gave it back to an old man <at_q>.",
        [
            ("What did <n> find?", "<n> found a <c> <u>."),
            ("Whose was {it|the <u>}?", "It was the old man's <u>."),
            ("Where was the old man?", "The old man was <at_q>."),
            ("Who did <n> ask first?", "First, <n> asked the <a>."),
            ("What did <n> get?", "<n> got <food>."),
        ],
    ),
    Plot(
        "{A Letter for <f>|The Letter}",
        "nf",
        """<f> {lived far away <at_q>|had a house far away <at_q>}. {One day|On Monday}, <n> wrote <f_him> a letter. "Dear <f>, {please come and play with me|I want to see you again}," it said. <n> put it in a <c> {bag|box}. {But on the way, the wind took the letter.|But the letter fell out on the way.} It {flew|was carried} <to_p>.
There a <a> found it. {"What is this?" said the <a>.|"I cannot read," said the <a>.} It {took|gave} the letter to {an old|a wise} <b>. The <b> read it slowly. "{It is for <f>|<f> must get this letter}," it said. "{I am too old to go so far|My legs are too slow}." "{Then I will go|I am fast}," said the <a>.
The <a> ran all day {and all night|over hill and field} and gave the letter to <f>. <f> {read it and smiled|jumped for joy}. {The next morning|On Sunday}, <f> stood at <n_poss> door. "{You got my letter|You are here}!" cried <n>. "{A <a> brought it to me|A friend brought it}," said <f>. They {had a wonderful day|played the whole day}, and the <a> got <food>.""",
        "<n> wrote a letter to <f>, the wind took it, and a <a> brought it to <f>.",
        [
            ("Who wrote a letter?", "<n> wrote a letter."),
            ("Who found the letter?", "A <a> found the letter."),
            ("Where did <f> live?", "<f> lived <at_q>."),
            ("Who read the letter first?", "The <b> read it first."),
            ("What did the <a> get?", "The <a> got <food>."),
        ],
    ),
]
