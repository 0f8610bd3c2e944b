# SPDX-License-Identifier: Apache-2.0
"""Plots about children. See words.draw_cast for the slots and words.fill for the template language."""

from plot import Plot

PLOTS = [
    Plot(
        "The {Lost <t>|<c> <t>}",
        "nptc",
        """<child_at_p> <n_She> had {a new|a little|a beautiful} <c> <t> with <n_him>, but when <n_she> wanted to go home, the <t> was gone. "Where is my <t>?" {asked|cried} <n>.
<n> looked <at_q>, but it was not there. {Then <n_she>|Soon <n_she>} met {a <size> <a>|a <size> <a> with a long nose}. "Have you seen my <c> <t>?" asked <n>. "{Yes|Yes, I have}," said the <a>. "It is <at_o>." So <n> ran <to_o>.
There was the <c> <t>, {under a tree|behind a big stone|in the long grass}! <n> was so happy. <n_She> {ran back and thanked the <a>|thanked the <a> and gave it <food>}. Then <n_she> went home and {held the <t> all night|told <n_her> <mother> all about it}.""",
        "<n> lost a <c> <t>, but a <a> said that it was <at_o>, and <n> found it there.",
        [
            ("What did <n> lose?", "<n> lost a <c> <t>."),
            ("Where {was the <t>|did <n> find the <t>|did <n_she> find it}?", "The <t> was <at_o>."),
            ("Who {helped <n>|knew where the <t> was}?", "The <a> helped <n>."),
            ("What colour was {the <t>|it}?", "The <t> was <c>."),
            ("Where did <n> look first?", "First, <n> looked <at_q>."),
        ],
    ),
    Plot(
        "{The Wet <s>|A Rainy Day}",
        "nsp",
        """<child_at_p> {The sky turned dark|Grey clouds came}, and it began to rain. Under a {tree|bush}, <n> {saw|found} a {little|small} <s>. It was cold and wet. "{You poor little <s>|Poor thing}," said <n>. "Come with me."
<n> put the <s> in <n_her> <c> <v> and {took|carried} it home. <n_Her> <mother> {made a fire|gave it a warm blanket}, and <n> gave the <s> <food>. The <s> ate it all and fell asleep {by the fire|near the door|in a box}.
In the morning, the sun was {out|shining} again and the <s> was {well|warm and dry}. {<n> took it back <to_p>. The <s> looked at <n> one last time and ran to its family.|"Can it stay with us?" asked <n>. "Yes, it can," said <n_her> <mother>. From that day on, the <s> lived with <n>.}""",
        "<n> found a wet <s> in the rain, took it home and gave it <food>.",
        [
            ("What did <n> find?", "<n> found a little <s>."),
            ("What did the <s> eat?", "The <s> ate <food>."),
            ("What colour was <n_poss> <v>?", "The <v> was <c>."),
            ("Where {was the <s>|did <n> find the <s>|did <n_she> find it}?", "<n> found the <s> <at_p>."),
            ("Why was the <s> wet?", "It was wet because it rained."),
        ],
        {"v": ["hat", "bag", "scarf", "coat"]},
    ),
    Plot(
        "{Two Friends and One <t>|Sharing}",
        "nft",
        """<n> and <f> were {good friends|brother and sister}. {One day|One afternoon}, they found a <c> <t> <at_p>. "{I saw it first|It is mine}!" said <n>. "No, {it is mine|I want it}!" {said|cried} <f>. They both pulled at the <t>, and {soon|then} they were {angry|very angry}.
{An old man|An old woman|A <size> <a>} came by and {saw|heard} them. "Why are you so loud?" {came the question|was the question}. "We both want the <t>," said <f>. "Then {share it|play with it together}," was the answer. "{A <t> is more fun with two|It is more fun with a friend}."
<n> looked at <f>, and <f> looked at <n>. "{I am sorry|You can have it first}," said <n>. So <f> played with the <t> first, and then it was <n_poss> turn. {They played until it was dark|They laughed all day}. In the end, they {kept the <t> in a box for both of them|were better friends than before}.""",
        "<n> and <f> both wanted the <c> <t>, but then they shared it.",
        [
            ("What did {they|<n> and <f>} find?", "They found a <c> <t>."),
            ("Where did they find {it|the <t>}?", "They found it <at_p>."),
            ("Why were they angry?", "They were angry because they both wanted the <t>."),
            ("Who played with {it|the <t>} first?", "<f> played with it first."),
            ("What colour was {it|the <t>}?", "The <t> was <c>."),
        ],
    ),
    Plot(
        "{The Heavy Basket|A Kind <n_child>}",
        "np",
        """<child_at_p> <n_She> saw an old <w> with a {heavy|big} basket. {Suddenly|Then}, the basket fell, and <k> {apples|pears|eggs} rolled {over|down} the road. "Oh no!" cried the old <w>.
"{I will help you|Let me help you}," said <n>. <n_She> picked them up, one after the other, until {they were all|everything was} back in the basket. Then <n_she> carried the basket all the way <to_q>, where the old <w> lived.
"{You are so kind|You have a good heart}," said the old <w>. "Take this <c> <u>. It was mine when I was young." <n> {smiled and said thank you|thanked the old <w>}. <n_She> {ran home to show it to <n_her> <mother>|gave the <u> a place next to <n_her> bed}, and every time <n_she> saw the <u>, <n_she> thought of the old <w>.""",
        "<n> helped with a heavy basket and got a <c> <u>.",
        [
            ("Who {carried the basket|helped}?", "<n> carried the basket."),
            ("What did <n> get?", "<n> got a <c> <u>."),
            ("Where did <n> carry the basket?", "<n> carried it <to_q>."),
            ("What colour was the <u>?", "The <u> was <c>."),
            ("How many things fell out of the basket?", "<K> things fell out of the basket."),
        ],
        {"w": ["woman", "man"]},
    ),
    Plot(
        "{A Sound in the Night|The Brave <n_child>}",
        "ns",
        """{Late one night|One dark night}, <n> {could not sleep|lay in bed}. {There was a strange sound|<n_She> heard a strange sound} in the {kitchen|garden|barn}. {Tap, tap, tap!|Bump, bump!} <n> was afraid. "{What can it be|Who is there}?" <n_she> {thought|asked}.
<n> took <n_her> <c> lamp and {went|walked} to the door. {<n_Her> heart beat fast|<n_Her> feet were cold}, but <n_she> {opened the door|did not stop}. The light fell on something small. It was a <s>! "{So it was you|You made that sound}," said <n> and {laughed|had to laugh}.
The <s> was {only hungry|looking for food}. <n> gave it <food>, and the <s> ate it {quickly|happily}. Then <n> went back to bed. {"I am not afraid of the dark now," <n_she> said.|From that night on, <n> was not afraid of the dark.} {And <n_she> slept until the morning.|Soon <n_she> was asleep.}""",
        "<n> heard a strange sound at night, but it was only a hungry <s>.",
        [
            ("{Who|What} made the sound?", "The sound came from a <s>."),
            ("What did <n> give {the <s>|it}?", "<n> gave it <food>."),
            ("What colour was the lamp?", "The lamp was <c>."),
            ("Was <n> afraid at first?", "Yes, <n> was afraid at first."),
            ("What did <n> take with <n_him>?", "<n> took a <c> lamp."),
        ],
    ),
    Plot(
        "{The Birthday Cake|A Cake for <f>}",
        "nf",
        """{It was|Tomorrow was} <f_poss> birthday, and <n> wanted to {make|bake} a cake. <n_She> took {flour and sugar|flour and eggs} and a big {bowl|cup}. But there was no {<x>|<x> left} in the kitchen. "I cannot make a cake without <x>," said <n>.
So <n> went to {the farm|the market} to get some. {There <n_she> met a <b>.|On the way, <n_she> met a <b>.} "{Where are you going|What do you need}?" asked the <b>. "I need some <x> for <f_poss> cake," said <n>. "{I have some|I know where some is}," said the <b>, "{but may I come to the party|and I will help you, but I want a piece of cake}?" "{Of course|Yes}!" said <n>.
{Soon the cake was ready.|After an hour, the cake was done.} It was big and <c>, and it had <k> candles. When <f> saw it, <f_she> {laughed and jumped|was very happy}. "{Thank you|What a beautiful cake}, <n>!" said <f>. They all ate the cake together, and the <b> ate the {biggest|last} piece.""",
        "<n> made a <c> cake for <f_poss> birthday, and a <b> helped.",
        [
            ("Whose birthday was it?", "It was <f_poss> birthday."),
            ("What did <n> need?", "<n> needed some <x>."),
            ("Who helped <n>?", "The <b> helped <n>."),
            ("What colour was the cake?", "The cake was <c>."),
            ("How many candles {were there|did it have}?", "The cake had <k> candles."),
        ],
        {"x": ["milk", "honey", "butter"]},
    ),
    Plot(
        "{The <c> Flower|A Little Seed}",
        "nc",
        """{One day in spring|One spring morning}, <n_poss> <mother> gave <n_him> a {little|small} seed. "Put it in the {ground|earth} and wait," said <n_her> <mother>. <n> {planted it|put it in the ground} <at_p> and gave it water every day.
{The first day, nothing happened.|For <k> days, nothing happened.} {The next day, nothing happened again.|<n> waited and waited.} "{It will never grow|Is it sleeping}?" asked <n>. <n_Her> <mother> smiled. "{Good things need time|You must wait a little longer}," <M_she> said.
Then {it rained all night|the sun came out and it was warm}. In the morning, <n> saw a small green leaf! {It grew and grew|Every day it grew a little more}, and after <k> weeks there was a {big|beautiful} <c> flower. <n> {gave it to <n_her> <mother>|showed it to <n_her> friend <f>}. "{I waited, and it was worth it|It needed time, and so did I}," said <n>.""",
        "<n> planted a seed, waited for a long time and got a <c> flower.",
        [
            ("What did <n> plant?", "<n> planted a little seed."),
            ("Where did <n> plant {it|the seed}?", "<n> planted it <at_p>."),
            ("What colour was the flower?", "The flower was <c>."),
            ("Who gave <n> the seed?", "<n_poss> <mother> gave <n_him> the seed."),
        ],
    ),
    Plot(
        "{The Old Map|The Box <at_q>}",
        "nfq",
        """{<n> and <f> found an old map in {a book|the barn|a box}|One rainy day, <n> found an old map and showed it to <f>}. There was a <c> cross on it. "{Look, this is the <q>|I know this place, it is the <q>}!" {said|cried} <f>. "Let us go and see."
First they walked <to_p>. {There they crossed a small bridge.|There they had to climb over a wall.} Then they came <to_q>. {A <size> <b> was sitting there and looked at them.|Only a <b> was there.} "{Dig here|This is the place}," said <n>. They dug and dug until they {hit something hard|saw something in the ground}.
It was {an old|a small} box! Inside, there were <k> {gold coins|shells|beautiful stones} and a letter. "{Share this with a friend|The best treasure is a good friend}," said the letter. <n> smiled at <f>. "{Then we found it long ago|We will share it}," <n_she> said, and they went home {hand in hand|singing}.""",
        "<n> and <f> followed an old map and found a box <at_q>.",
        [
            ("What did {they|<n> and <f>} find?", "They found a box."),
            ("Where was the box?", "The box was <at_q>."),
            ("What colour was the cross?", "The cross was <c>."),
            ("Who was with <n>?", "<f> was with <n>."),
            ("Where did they go first?", "First, they walked <to_p>."),
        ],
    ),
    Plot(
        "{The New <f_child>|A New Friend}",
        "nf",
        """<f> was new {at school|in the village}. <f_She> was {shy|sad and quiet} and {stood alone by the door|sat alone under a tree}. {Nobody played with <f_him>.|<f_She> did not know anyone.} In <f_her> {bag|box} <f_she> had a <c> <t>.
<n> saw <f_him> and {went over|came to <f_him>}. "Hello, I am <n>," <n_she> said. "{Is that your <t>?|What a beautiful <t>! Is it yours?}" "{Yes, it is|Yes}," said <f> {in a quiet voice|and looked up}. "My <mother> gave it to me." "{Can we play with it|May I play too}?" asked <n>. <f> {nodded|smiled a little}.
They {played with the <c> <t>|took the <t> <to_p> and played} {all day|until the bell rang}. <f> laughed for the first time. "Will you come again tomorrow?" asked <f>. "{Of course|Yes, I will}," said <n>. "{We are friends now|That is what friends do}." {That night|That evening}, <f> was not sad any more.""",
        "<f> was new and alone, but <n> played with <f_him>, and they became friends.",
        [
            ("Who was new?", "<f> was new."),
            ("What did <f> have?", "<f> had a <c> <t>."),
            ("Who came to {play|play with <f>}?", "<n> came to play with <f>."),
            ("What colour was the <t>?", "The <t> was <c>."),
            ("How did <f> feel {at first|at the beginning}?", "At first, <f> was sad."),
        ],
    ),
    Plot(
        "{The Broken Cup|Telling the Truth}",
        "nc",
        """<n> was {running|jumping|playing with a ball} in the {kitchen|house}. {Crash!|Bang!} {<n_poss> arm hit|The ball hit} the table, and a <c> cup fell {down|to the ground}. It was {broken|in <k> pieces}. It was <n_her> <mother>'s {best|favourite} cup.
<n> was {afraid|very sad}. "{I can say that the cat did it|I can hide the pieces}," <n_she> thought. But {that was not right|that did not feel good}. So <n> went to <n_her> <mother>, {who was <at_p>|who was working <at_p>}. "I broke your <c> cup," said <n>. "I am {so |very |}sorry."
<n_poss> <mother> {was quiet for a moment|looked at <n_him>}. Then <M_she> {smiled|took <n_poss> hand}. "{Thank you for telling the truth|It was only a cup, and you told me the truth}," <M_she> said. Together they {put the pieces back with glue|made a new cup}. It was not as good as before, but now it was {the favourite cup of both of them|their favourite cup}.""",
        "<n> broke a <c> cup and told the truth about it.",
        [
            ("What did <n> break?", "<n> broke a <c> cup."),
            ("Who broke the cup?", "<n> broke the cup."),
            ("What colour was the cup?", "The cup was <c>."),
            ("Did <n> tell the truth?", "Yes, <n> told the truth."),
            ("Where was <n_poss> <mother>?", "<n_poss> <mother> was <at_p>."),
        ],
    ),
]
